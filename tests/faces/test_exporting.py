"""Sessions as files, from open sessions too."""

import io
import zipfile
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from processor.bundles.keys import PublicKeys, make_keys, read_public_keys, read_signing_key
from processor.bundles.renderer import renderer
from processor.bundles.verify import verify
from processor.bundles.writing import BundleWriter
from processor.in_memory import MemoryDeployment
from processor.sessions.report import Report
from processor.targets.target import Target
from tests.faces.reading import command, problem, reading, say, sees, start
from tests.faces.stage import http_of


def session(deployment: MemoryDeployment, user_id: str = "ann") -> str:
    session_id = start(deployment, user_id, session_notes="well")
    say(deployment, user_id, transcript="hello")
    return session_id


def reports(content: bytes, folder: Path, deployment: MemoryDeployment, keys: PublicKeys | None = None) -> list[Report]:
    """Unpack a zip and verify it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
    return list(verify(str(folder), deployment.codec, keys))


@pytest.mark.parametrize("is_exported", [False, True])
@pytest.mark.parametrize("ended", [False, True])
def test_a_zip_verifies(
    deployment: MemoryDeployment, http: TestClient, tmp_path: Path, is_exported: bool, ended: bool
) -> None:
    """It is a whole bundle in its place; an open session's says that it is open."""
    deployment.store.writer.note_reader(renderer())
    session_id = session(deployment)
    if ended:
        command(deployment, "ann", "end")
    if is_exported:
        deployment.export()
    answer = http.get(f"/v1/sessions/{session_id}/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="{session_id}.zip"'
    (report,) = reports(answer.content, tmp_path / "unpacked", deployment)
    assert (report.problems, report.session_id, report.messages) == ([], session_id, 1)
    assert (report.status, report.is_rendered) == ("complete" if ended else "open", True)


def test_a_service_with_the_key_signs(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """What it exports is signed as the exporter's bundles are."""
    key_id = make_keys(tmp_path / "site")
    session_id = session(deployment)
    with http_of(deployment, signer=read_signing_key(tmp_path / "site")) as http:
        content = http.get(f"/v1/sessions/{session_id}/export").content
    (report,) = reports(content, tmp_path / "unpacked", deployment, read_public_keys([tmp_path / "site.pub"]))
    assert (report.problems, report.signed_by) == ([], key_id)


def test_rows_of_an_unknown_exporter_are_not_said_to_be_ours(
    deployment: MemoryDeployment, http: TestClient, tmp_path: Path
) -> None:
    """Then verify checks all but the rendering, and says so."""
    session_id = session(deployment)
    deployment.export()
    (report,) = reports(http.get(f"/v1/sessions/{session_id}/export").content, tmp_path / "unpacked", deployment)
    assert (report.problems, report.is_rendered) == ([], False)


@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("html", "timeline.html"),
        ("json", "bundle.json"),
        ("jsonl", "timeline.jsonl"),
        ("csv", "messages.csv"),
        ("timeline", "timeline.csv"),
    ],
)
def test_one_file_is_the_bundle_s_own(
    deployment: MemoryDeployment, http: TestClient, tmp_path: Path, form: str, file: str
) -> None:
    """Byte for byte what the exporter writes."""
    session_id = session(deployment)
    command(deployment, "ann", "end")
    deployment.export()
    answer = http.get(f"/v1/sessions/{session_id}/export?format={form}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{file}"'
    held = deployment.view.session(session_id)
    assert held is not None
    root = tmp_path / "bundles"
    BundleWriter(deployment.store.reader, Target(str(root)), deployment.codec, now_ms=deployment.clock.now_ms).write(
        held.row
    )
    (path,) = root.rglob(file)
    assert answer.content == path.read_bytes()


def test_a_person_s_file_holds_all_their_sessions(
    deployment: MemoryDeployment, http: TestClient, tmp_path: Path
) -> None:
    """Of all lanes, verified; and of nobody else."""
    mine = {session(deployment, user_id) for user_id in ("ann", "ann~00000001", "ann~00000002")}
    session(deployment, "bob")
    deployment.export()
    answer = http.get("/v1/users/ann/export")
    found = reports(answer.content, tmp_path / "unpacked", deployment)
    assert {report.session_id for report in found} == mine
    assert all(report.is_sound for report in found)


def test_foreign_and_unknown_sessions_are_not_exported(deployment: MemoryDeployment) -> None:
    """They are not there."""
    session_id = session(deployment)
    deployment.export()
    with reading(deployment, sees("bob")) as http:
        problem(http.get(f"/v1/sessions/{session_id}/export"), 404, "session_not_found")
        problem(http.get("/v1/users/ann/export"), 404, "session_not_found")
        problem(http.get("/v1/users/nobody/export"), 404, "session_not_found")


@pytest.mark.parametrize("query", ["format=exe", "format=", "nosuch=1", "as_of=x"])
def test_what_is_not_known_is_refused(deployment: MemoryDeployment, http: TestClient, query: str) -> None:
    """Formats are five words."""
    problem(http.get(f"/v1/sessions/{session(deployment)}/export?{query}"), 422, "invalid_request")


def test_nothing_is_left_behind(deployment: MemoryDeployment, http: TestClient, monkeypatch: pytest.MonkeyPatch,
                                tmp_path: Path) -> None:  # fmt: skip
    """Temporary files go with the answer."""
    session_id = session(deployment)
    below = tmp_path / "temporary"
    below.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(below))
    for form in ("zip", "html"):
        assert http.get(f"/v1/sessions/{session_id}/export?format={form}").status_code == 200
    assert list(below.iterdir()) == []
