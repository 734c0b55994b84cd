"""a3cp verify and a3cp sessions timeline: what they print, and how they end."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from processor.bundles.bundle import write_bundle
from processor.bundles.contents import Format
from processor.bundles.reading import read_records, read_timeline
from processor.cli.app import app
from processor.cli.timeline import lines
from processor.errors import UsageError
from processor.store import open_store
from processor.targets.target import Target
from tests.bundles.stage import sealed
from tests.sessions.views import CODEC, NOW_MS, day_view, made_view, varied


@pytest.fixture
def bundle(tmp_path):
    """A bundle of the demo's day."""
    return Path(write_bundle(Target(str(tmp_path)), day_view("heron-07"), CODEC, now_ms=NOW_MS).path)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, UsageError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_sound_is_0(bundle):
    """A root with nothing wrong: a line a bundle and a sum, code 0."""
    code, output = run("verify", str(bundle.parent.parent))
    assert code == 0
    assert output.splitlines() == [
        f"sound   {bundle}  63 messages, complete",
        "1 bundle: 1 sound, 0 broken",
        "words, page and CSV rendered again from the records: 1 alike",
        "index: there is none, so nobody can tell whether a bundle is missing",
    ]


def test_broken_is_1_and_says_where(bundle):
    """What is wrong is told with its file and place, as text and as JSON, code 1."""
    path = bundle / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'\\"seq\\":3', b'\\"seq\\":4', 1))
    code, output = run("verify", str(bundle))
    assert code == 1
    assert f"BROKEN  {bundle}" in output
    assert "records.jsonl: its SHA-256 is not the manifest's" in output
    assert "its content does not match its SHA-256" in output
    code, output = run("verify", str(bundle), "--json", "--broken")
    told = json.loads(output)
    assert (code, told["bundles"], told["broken"]) == (1, 1, 1)
    assert told["reports"][0]["problems"][0]["file"] == "records.jsonl"


def test_nothing_there_is_2(tmp_path):
    """No such place and no bundle in it are the caller's to mend."""
    assert run("verify", str(tmp_path / "nowhere"))[0] == 2
    assert run("verify", str(tmp_path))[0] == 2


@pytest.mark.parametrize(("root", "why"), [("foo://x", "protocol not known: foo"), ("s3://x", "install s3fs")])
@pytest.mark.parametrize(
    "command",
    [
        "export --to ROOT",
        "export --training ROOT",
        "verify ROOT",
        "erase ann --to ROOT",
        "retention --older-than 90d --to ROOT",
        "replay ROOT --to trial.raw",
        "sessions timeline ROOT",
    ],
)
def test_where_nothing_installed_reaches_is_2(command, root, why, tmp_path, monkeypatch):
    """An unknown protocol, and one whose package is not installed: what, where and what to do."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("A3CP_STORE_URL", f"sqlite:///{tmp_path}/store.db")
    open_store(f"sqlite:///{tmp_path}/store.db").close()
    code, told = run(*command.replace("ROOT", root).split())
    assert code == 2
    assert told.startswith(f"{root} cannot be reached: {why}")
    assert told.endswith("; name a folder, or a URL whose fsspec package is installed")


@pytest.mark.parametrize("wrong", ["--to foo://x", "--training foo://x", "--to . --format pdf"])
def test_a_wrong_export_makes_no_store(wrong, tmp_path, monkeypatch):
    """What is wrong is told before anything is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert run("export", "--store", "sqlite:///new.db", *wrong.split())[0] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("topics plan --bootstrap", "--bootstrap is empty"),
        ("topics plan --prefix", "--prefix is empty"),
        ("export --store", "--store is empty"),
        ("erase ann --store", "--store is empty"),
        ("sessions list --store", "--store is empty"),
        ("demo --prefix a3cp-demo/", "--prefix is not as wanted"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(arguments, said):
    """Whatever the environment says of the same."""
    words = arguments.split()
    code, told = run(*words, *([] if words[0] == "demo" else [""]))
    assert code == 2
    assert told.startswith(said)


def test_a_timeline_in_the_terminal(bundle):
    """Head, lines in plain words, silences and alike lines folded, marks in brackets; nothing needs colour."""
    code, output = run("sessions", "timeline", str(bundle))
    assert code == 0
    told = output.splitlines()
    assert told[0] == "Session of heron-07, 2025-11-20 09:00:00 to 09:32:00 UTC"
    assert "09:01:00  system   Camera, 2 s, 14 pictures, for “drink”" in told
    assert "09:01:05  user     Signed: “drink” (81 % sure)" in told
    assert "09:12:00  carer    Note by carer-02: “Tired, but signs clearly.”" in told
    assert "09:15:25  carer    Corrected: “more” means “drink”  [corrected]" in told
    assert "                   ⋯ 16 min without messages" in told
    assert "\x1b" not in output
    everything = run("sessions", "timeline", str(bundle), "--all")[1].splitlines()
    assert len(everything) > len(told) + 30
    assert any(line.endswith("  [not to the letter: it has no id of its own]") for line in everything)
    assert "nonconforming" not in output


def test_a_timeline_as_json(bundle):
    """Metadata and every entry."""
    told = json.loads(run("sessions", "timeline", str(bundle), "--json")[1])
    assert told["session_id"] == bundle.name
    assert len(told["timeline"]) == told["message_count"] + told["event_count"]


def test_a_timeline_steers_no_terminal(tmp_path):
    """Control characters in messages, ids and notes are shown as such, never sent."""
    view = made_view([{"output_phrase": "\x1b[2Jgone\x07\u202e"}], user_id="u\x1b]0;x\x07", notes=("\x1b[31mred",))
    path = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=NOW_MS).path
    output = run("sessions", "timeline", path)[1]
    assert not set("\x1b\x07\u202e") & set(output)
    assert "\ufffd[2Jgone" in output


def test_bundles_that_cannot_be_read(bundle, tmp_path):
    """A folder that is none, one without bundle.json, a damaged one: told, not a traceback."""
    assert run("sessions", "timeline", str(tmp_path))[0] == 2
    lean = write_bundle(
        Target(str(tmp_path / "lean")), made_view(varied(2)), CODEC, now_ms=NOW_MS, formats=frozenset({Format.CSV})
    ).path
    assert "has no bundle.json" in run("sessions", "timeline", lean)[1]
    (bundle / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes().replace(b'"words"', b'"wards"', 1))
    assert "is damaged" in run("sessions", "timeline", str(bundle))[1]


def test_records_come_back_as_they_came(bundle):
    """The bytes of each message, in order; what was withheld is told so."""
    records = list(read_records(Target(str(bundle))))
    assert [record.line.seq for record in records] == list(range(1, 64))
    assert all(record.content is not None for record in records)


def test_lines_alike_are_one(tmp_path):
    """From three on; a note of what is notable, or another word, breaks the row."""
    contents = [{"event": "capture.frame_meta", "seq": seq} for seq in range(5)]
    contents.insert(2, {"classifier_output": {"unknown": 1.0}})
    path = write_bundle(Target(str(tmp_path)), made_view(contents), CODEC, now_ms=NOW_MS).path
    words = [line.words for line in lines(read_timeline(Target(path)))]
    assert words[1:5] == [
        "Camera picture 0",
        "Camera picture 1",
        "Not recognised (100 % sure)",
        "3 × Camera picture, until 09:00:05",
    ]


def test_a_recording_is_one_line(tmp_path):
    """Its start, pictures, stop and measured movement; what is notable in it stays a line of its own."""
    recording: list[dict[str, Any]] = [
        {"event": "capture.open", "annotation": {"intent": "eat"}},
        *({"event": "capture.frame_meta", "seq": seq} for seq in range(2)),
        {"event": "capture.close"},
        {"event": "raw_features.ready"},
        {"classifier_output": {"eat": 0.7}, "modality": "gesture"},
        {"event": "capture.open"},
        {"event": "capture.frame_meta", "seq": 0},
        {"event": "capture.abort", "error_code": "no_camera"},
    ]
    contents = [{**fields, "capture_id": f"c{number > 5}"} for number, fields in enumerate(recording)]
    path = write_bundle(Target(str(tmp_path)), made_view(contents), CODEC, now_ms=NOW_MS).path
    told = [(line.voice, line.words) for line in lines(read_timeline(Target(path)))]
    assert told[1:5] == [
        ("system", "Camera, 4 s, 2 pictures, for “eat”"),
        ("user", "Signed: “eat” (70 % sure)"),
        ("system", "Camera, 1 s, 1 picture"),
        ("system", "Camera recording broke off: no camera"),
    ]


def test_a_bundle_of_an_earlier_release_is_read(bundle, tmp_path):
    """It had `actor` and no phrases: it stays sound, and its timeline says whose expression each line is."""
    now = list(read_timeline(Target(str(bundle))))
    path = bundle / "bundle.json"
    text = path.read_text("utf-8")
    text = re.sub(r'"expressed_by":"(user|carer|system)"', '"actor":"system"', text)
    text = re.sub(
        r',"phrase":"[^"]*"(,"values":\{[^}]*\})?', "", text.replace('"expressed_by":"session"', '"actor":"session"')
    )
    path.write_text(text, "utf-8")
    sealed(bundle, written_by="a3cp-session-manager 0.1.0, renderer 000000000000")
    assert run("verify", str(bundle))[0] == 0
    then = list(read_timeline(Target(str(bundle))))
    assert [entry.words for entry in then] == [entry.words for entry in now]
    messages = [entry.expressed_by for entry in then if entry.kind == "message"]
    assert messages == [entry.expressed_by for entry in now if entry.kind == "message"]
