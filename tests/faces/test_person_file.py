"""A person's whole file: all sessions, verified as a whole, and what is kept beside the log."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.bundles.verify import listed, verify
from processor.faces.app import make_app
from processor.faces.auth.doors import Doors
from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from processor.profiles import Profiles, Pseudonyms, open_profiles
from tests.faces.reading import MINUTE_MS, Named, command, say, sees, start
from tests.faces.stage import http_of

DAY_MS = 24 * 60 * MINUTE_MS


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return open_profiles(f"sqlite:///{tmp_path / 'profiles.db'}", Pseudonyms(b"key"), None)


@pytest.fixture
def http(deployment: MemoryDeployment, profiles: Profiles) -> Iterator[TestClient]:
    with http_of(deployment, profiles=profiles) as client:
        yield client


def sessions(deployment: MemoryDeployment, user_id: str = "ann") -> list[str]:
    """Three sessions on two days, the last one open."""
    ids = []
    for number in range(3):
        ids.append(start(deployment, user_id, session_notes="<b>calm</b>"))
        say(deployment, user_id, transcript=f"word {number}")
        if number < 2:
            command(deployment, user_id, "end")
            deployment.advance(DAY_MS * (number == 1) + MINUTE_MS)
    return ids


def unpacked(http: TestClient, folder: Path, path: str = "/v1/users/ann/export") -> Path:
    answer = http.get(path).raise_for_status()
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        archive.extractall(folder)
    return folder


def person(folder: Path) -> Any:
    return json.loads((folder / "person.json").read_text())


def test_it_is_verified_as_a_whole(deployment: MemoryDeployment, http: TestClient, tmp_path: Path) -> None:
    """Each bundle is sound, and the index lists them all: one that is taken out is missing."""
    ids = sessions(deployment)
    start(deployment, "bob")
    folder = unpacked(http, tmp_path / "file")
    reports = list(verify(str(folder), deployment.codec))
    assert {report.session_id for report in reports} == set(ids)
    assert [report.problems for report in reports] == [[], [], []]
    assert listed(str(folder)) == 3
    [lost] = [path for path in folder.glob("*/*") if path.name == ids[1]]
    lost.rename(tmp_path / "elsewhere")
    [missing] = [report for report in verify(str(folder), deployment.codec) if report.problems]
    assert (missing.session_id, "missing" in missing.problems[0].what) == (ids[1], True)


def test_a_page_lists_the_sessions(deployment: MemoryDeployment, http: TestClient, tmp_path: Path) -> None:
    """Its links lead to the pages in the file; what somebody wrote is text."""
    ids = sessions(deployment)
    folder = unpacked(http, tmp_path / "file")
    page = (folder / "index.html").read_text()
    for session_id in ids:
        [path] = folder.glob(f"*/{session_id}/timeline.html")
        assert path.stat().st_size > 1_000
        assert f'href="{path.relative_to(folder)}"' in page
    assert "<b>calm" not in page
    assert len(list(folder.glob("*/index.html"))) == 2


def test_what_is_kept_beside_the_log_is_in_it(deployment: MemoryDeployment, profiles: Profiles, tmp_path: Path) -> None:
    """Bookmarks and links for everybody; who it is only for those who may know."""
    user_id = profiles.pseudonym_of("ann@example.org", {"name": "Ann"})
    profiles.keep_resume(user_id, {"skills": ["signs"]})
    session_id = start(deployment, user_id)
    ben, camera = sees(user_id), sees(user_id, role="producer")
    app = make_app(deployment.context(profiles=profiles), Shell(doors=Doors(Named(ben, camera))))
    with TestClient(app) as http:
        http.headers["Authorization"] = f"Bearer {ben.name}"
        path = f"/v1/users/{user_id}/export"
        http.post(f"/v1/sessions/{session_id}/bookmarks", json={"event": 1, "text": "look"}).raise_for_status()
        http.post(f"/v1/sessions/{session_id}/shares", json={"expires_in_s": 60}).raise_for_status()
        told = person(unpacked(http, tmp_path / "reviewer", path))
        assert [(each["session_id"], each["place"], each["text"]) for each in told["bookmarks"]] == [
            (session_id, "event=1", "look")
        ]
        assert [each["session_id"] for each in told["shares"]] == [session_id]
        assert not {"given", "resumes"} & told.keys()
        http.headers["Authorization"] = f"Bearer {camera.name}"
        told = person(unpacked(http, tmp_path / "producer", path))
        assert told["given"] == {"given": "ann@example.org", "info": {"name": "Ann"}}
        assert told["resumes"] == [{"skills": ["signs"]}]


def test_without_a_profile_store_nothing_is_kept_beside(deployment: MemoryDeployment, tmp_path: Path) -> None:
    """The file says so."""
    start(deployment, "ann")
    with http_of(deployment) as http:
        told = person(unpacked(http, tmp_path / "file"))
    assert (told["user_id"], told["bookmarks"], told["shares"]) == ("ann", [], [])
