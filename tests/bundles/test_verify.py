"""Verifying: a changed byte anywhere is found, and so is a bundle that was rewritten with its manifest."""

import json
import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.bundles import manifest as manifests
from processor.bundles.bundle import write_bundle
from processor.bundles.verify import verify
from processor.errors import UsageError
from processor.sessions.model import SessionView
from processor.sessions.report import PROBLEMS_MAX, Report
from processor.targets.target import Target
from tests.bundles.stage import sealed
from tests.sessions.views import CODEC, NOW_MS, day_view, made_view, varied


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle of everything: a day's session with notes, late features and corrections."""
    root = tmp_path_factory.mktemp("root")
    return Path(write_bundle(Target(str(root)), day_view("heron-07"), CODEC, now_ms=NOW_MS).path)


def report_of(path: Path) -> Report:
    (report,) = verify(str(path))
    return report


def problems(path: Path) -> list[str]:
    return [str(problem) for problem in report_of(path).problems]


def test_a_sound_bundle(bundle):
    """Nothing is wrong with what was written."""
    report = report_of(bundle)
    assert (report.is_sound, report.status, report.messages) == (True, "complete", 63)
    assert report.session_id == bundle.name


@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_found(bundle, data):
    """Whichever byte of whichever file changes, in whichever bits, it is found, and the file is named."""
    path = data.draw(st.sampled_from(sorted(bundle.iterdir())))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    mask = data.draw(st.integers(1, 255))
    try:
        path.write_bytes(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
        assert path.name in {problem.file for problem in report_of(bundle).problems}
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("mask", [1, 0x20, 0x80])
def test_every_byte_of_the_manifest_counts(bundle, mask):
    """Also a changed byte of the manifest itself is found, blanks and the case of its digits among them."""
    data = (bundle / manifests.NAME).read_bytes()
    for at, byte in enumerate(data):
        with pytest.raises(manifests.NotAManifest):
            manifests.read(data[:at] + bytes([byte ^ mask]) + data[at + 1 :])


@settings(max_examples=40)
@given(data=st.data())
def test_a_file_cut_off_or_lengthened_is_found(bundle, data):
    """Bytes that are missing at the end, or too many."""
    path = data.draw(st.sampled_from(sorted(bundle.iterdir())))
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    try:
        path.write_bytes(data.draw(st.sampled_from((content[:cut], content + b"\n", content + b"\0"))))
        assert path.name in {problem.file for problem in report_of(bundle).problems}
    finally:
        path.write_bytes(content)


def edit_lines(name: str, edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))

    return change


def edit_json(name: str, **members: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_bytes()) | members), "utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edit_lines("records.jsonl", lambda lines: lines[:-1]), "records.jsonl has 62"),
        (edit_lines("records.jsonl", lambda lines: lines[:5] + lines[6:]), "message 7 stands where message 6 should"),
        (edit_lines("records.jsonl", lambda lines: [lines[1], lines[0], *lines[2:]]), "message 2 stands where"),
        (edit_lines("records.jsonl", lambda lines: [*lines[:3], lines[2], *lines[3:]]), "message 3 stands where"),
        (
            edit_lines("records.jsonl", lambda lines: [lines[0].replace(b"640", b"641"), *lines[1:]]),
            "message 1: its content does not match its SHA-256",
        ),
        (edit_lines("records.jsonl", lambda lines: [b"{}\n", *lines[1:]]), "records.jsonl, line 1: it is not what"),
        (edit_lines("timeline.jsonl", lambda lines: lines[:-2]), "timeline.jsonl: it has"),
        (edit_lines("bundle.json", lambda lines: lines[:-3] + lines[-2:]), "bundle.json"),
        (edit_json("session_metadata.json", message_count=62), "message_count: 62, but records.jsonl has 63"),
        (edit_json("session_metadata.json", user_id="otter-12"), "bundle.json, metadata: it is not what"),
        (edit_json("session_metadata.json", start_time="2025-11-19T09:00:00.000Z"), "stands in the folder"),
        (lambda folder: (folder / "extra.txt").write_text("x"), "extra.txt: no bundle has a file of this name"),
        (lambda folder: (folder / "records.jsonl").unlink(), "records.jsonl: the manifest does not list it"),
    ],
)
def test_a_rewritten_bundle_is_found(bundle, tmp_path, change, told):
    """Files that match a manifest made anew still have to match each other and the session's end."""
    folder = tmp_path / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    change(folder)
    sealed(folder)
    assert any(told in problem for problem in problems(folder)), problems(folder)


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new))

    return change


BOTH = ("session_metadata.json", "bundle.json")
EVENTS = ("bundle.json", "timeline.jsonl")


@pytest.mark.parametrize(
    ("names", "old", "new", "told"),
    [
        (["bundle.json"], b'"intent":"drink"', b'"intent":"sleep"', "bundle.json, message"),
        (["timeline.jsonl"], b'"intent":"drink"', b'"intent":"sleep"', "of records.jsonl"),
        (EVENTS, b'"consent_given":true', b'"consent_given":false', "of records.jsonl"),
        (EVENTS, b'"consent_given":true,', b"", "its record is not the one in records.jsonl"),
        (["bundle.json"], b'"record":{"schema', b'"record":{"more":1,"schema', "its record is not the one"),
        (["bundle.json"], b'"kind":"message"', b'"kind":"message" ', None),
        (["bundle.json"], b'"recorded_at":"2025-11-2', b'"recorded_at":"2025-10-2', "its record is not the one"),
        (["timeline.jsonl"], b'"recorded_at":"2025-11-2', b'"recorded_at":"2025-10-2', "it is not message 1 of"),
        (["timeline.jsonl"], b"Tired, but", b"Awake, so", "it is not the event that bundle.json has"),
        (["bundle.json"], b'"session_notes":"Tired, but', b'"session_notes":"Awake and', "it is not the event that"),
        (["records.jsonl"], b'"key":"heron-07"', b'"key":"otter-12"', "message 1: its key is not the user"),
        (["records.jsonl"], b'"size":', b'"size":1', "message 1: its content has not the size"),
        (BOTH, b'"user_id": "heron-07"', b'"user_id": "otter-12"', "message 1: its key is not the user"),
        (
            ["session_metadata.json"],
            b'"user_id": "heron-07"',
            b'"user_id": "otter-12"',
            "user_id: it is not what the session events in timeline.jsonl say",
        ),
        (BOTH, b'"end_reason": "command"', b'"end_reason": "timeout"', "session_metadata.json, end_reason: it is not"),
        (BOTH, b'"end_time": "2025', b'"end_time": "2024', "session_metadata.json, end_time: it is not"),
        (BOTH, b'"is_training_data": true', b'"is_training_data": false', "is_training_data: it is not"),
        (BOTH, b'"completeness": "complete"', b'"completeness": "partial"', "completeness: it says partial"),
    ],
)
def test_files_that_do_not_tell_the_same_are_found(bundle, tmp_path, names, old, new, told):
    """A file that no longer says what another one says is found, though the manifest was made anew; blanks are free."""
    folder = tmp_path / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    for name in names:
        spaced = name == "session_metadata.json"
        one, other = (text if spaced else text.replace(b": ", b":") for text in (old, new))
        replaced(name, one, other)(folder)
    sealed(folder)
    found = problems(folder)
    assert found == [] if told is None else any(told in problem for problem in found), found


def test_numbers_that_no_float_holds_are_no_problem(tmp_path):
    """Numbers as long as JSON allows, escapes and members twice: the files agree, as the same code wrote them."""
    view = made_view([{"n": 10**400, "m": 2**64 + 1, "x": 1.10}, {"note": '\u0000 \u2028 é/"', "session_seq": 4}])
    write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=NOW_MS)
    assert [report.problems for report in verify(str(tmp_path))] == [[]]


def test_files_beside_the_bundle_are_told(bundle, tmp_path):
    """A file that the manifest does not list, one that is missing, no manifest at all, another folder's name."""
    folder = tmp_path / "2025-11-20" / bundle.name
    shutil.copytree(bundle, folder)
    (folder / "notes.txt").write_text("x")
    (folder / "messages.csv").unlink()
    assert problems(folder) == ["notes.txt: the manifest does not list it", "messages.csv: it is missing"]
    (folder / "manifest.json").unlink()
    assert problems(folder)[0].startswith("manifest.json: it is missing")
    other = tmp_path / "2025-11-20" / "sess_other"
    shutil.copytree(bundle, other)
    assert problems(other) == [f"the folder of this session is called {bundle.name}"]


def test_a_partial_session_says_so(tmp_path):
    """What is missing of a session is no fault of its bundle, as long as it says it is partial."""
    whole = made_view(varied(9))
    rows = [row for row in whole.messages() if row.seq not in (1, 6)]
    digest = sha256(whole.session.session_id.encode()).digest()
    for row in rows:
        digest = sha256(digest + row.content_hash).digest()
    session = whole.session._replace(held_count=7, held_digest=digest.hex())
    path = Path(
        write_bundle(
            Target(str(tmp_path)), SessionView(session, lambda: iter(rows), whole.events), CODEC, now_ms=NOW_MS
        ).path
    )
    report = report_of(path)
    assert (report.problems, report.status, report.messages) == ([], "partial", 7)


def test_a_root_is_verified_bundle_by_bundle(bundle, tmp_path):
    """Every bundle below the root or a date is looked at; what is being written is not."""
    root = bundle.parent.parent
    assert [report.path for report in verify(str(root))] == [str(bundle)]
    assert [report.path for report in verify(str(bundle.parent))] == [str(bundle)]
    with pytest.raises(UsageError, match="holds no bundle"):
        list(verify(str(tmp_path)))
    with pytest.raises(UsageError, match="there is no"):
        list(verify(str(tmp_path / "nowhere")))


def test_garbage_gives_a_report(bundle, tmp_path):
    """Random bytes in place of any file give problems, at most so many, and no exception."""
    for path in sorted(bundle.iterdir()):
        folder = tmp_path / path.name / bundle.name
        shutil.copytree(bundle, folder)
        (folder / path.name).write_bytes(os.urandom(3000).replace(b"\0", b"\n"))
        assert 0 < len(problems(folder)) <= PROBLEMS_MAX


def another(folder: Path, name: str) -> Path:
    """Put the file `name` of a bundle elsewhere, and return where."""
    elsewhere = folder.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / name).rename(elsewhere / name)
    return elsewhere / name


@pytest.mark.parametrize("name", ["records.jsonl", "session_metadata.json", "manifest.json", "timeline.html", "more"])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to(path.parent.parent.parent / "nowhere"),
        lambda path: path.symlink_to(path),
        lambda path: path.mkdir(),
        os.mkfifo,
    ],
    ids=["dangling link", "link to itself", "folder", "pipe"],
)
def test_what_is_no_file_is_told_and_the_others_are_checked(bundle, tmp_path, name, make):
    """Whatever stands in a file's place is a problem of its bundle alone."""
    good, bad = tmp_path / bundle.parent.name / bundle.name, tmp_path / "2025-11-19" / "sess"
    shutil.copytree(bundle, good)
    shutil.copytree(bundle, bad)
    (bad / name).unlink(missing_ok=True)
    make(bad / name)
    first, second = verify(str(tmp_path))
    assert (first.path, second.path, second.problems) == (str(bad), str(good), [])
    assert next(problem.what for problem in first.problems if problem.file == name).startswith("it is a link, a folder")


@pytest.mark.parametrize("name", ["records.jsonl", "manifest.json"])
def test_a_link_to_the_right_bytes_is_told(bundle, tmp_path, name):
    """A file that stands elsewhere is not the bundle's, though its bytes are right now."""
    folder = tmp_path / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    (folder / name).symlink_to(another(folder, name))
    told = problems(folder)
    assert [problem for problem in told if problem.startswith(f"{name}: it is a link")] == told


@pytest.mark.parametrize("place", ["2025-11-21", "2025-11-20/sess_gone"])
def test_folders_that_cannot_be_read_are_told(bundle, tmp_path, place):
    """A date or a bundle that leads nowhere is a report with a problem, and the rest is checked."""
    shutil.copytree(bundle, tmp_path / bundle.parent.name / bundle.name)
    (tmp_path / place).symlink_to(tmp_path / "nowhere")
    found = {report.path: [str(problem) for problem in report.problems] for report in verify(str(tmp_path))}
    assert found[str(tmp_path / bundle.parent.name / bundle.name)] == []
    assert found[str(tmp_path / place)] == ["it cannot be read: No such file or directory"]


def test_a_disk_that_fails_is_told(bundle, monkeypatch):
    """An error while a file is read is a problem of that file."""

    def failing(self: Target, path: str) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Target, "open", failing)
    assert "records.jsonl: it cannot be read: Input/output error" in problems(bundle)


def test_a_file_of_another_size_is_told_without_reading_it(bundle, tmp_path, monkeypatch):
    """The folder's list tells the size: no byte of a page of many gigabytes has to be hashed."""
    folder = tmp_path / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    with (folder / "timeline.html").open("ab") as page:
        page.write(b"x")
    opened = Target.open

    def open_no_page(self: Target, path: str) -> Any:
        assert not path.endswith("timeline.html")
        return opened(self, path)

    monkeypatch.setattr(Target, "open", open_no_page)
    (told,) = problems(folder)
    assert re.fullmatch(r"timeline\.html: it has [0-9,]+ bytes, the manifest says [0-9,]+", told)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b'{"format": 1}', b"", b"\xef\xbb\xbftime,user"])
def test_a_file_that_is_no_page_is_not_called_broken(tmp_path: Path, content: bytes) -> None:
    """Nothing is wrong with a zip as the page hands it out, nor with one file of a bundle: it is not checked so."""
    (tmp_path / "session.zip").write_bytes(content)
    with pytest.raises(UsageError, match=r"is neither a bundle nor a page.*unpack a zip"):
        list(verify(str(tmp_path / "session.zip")))
