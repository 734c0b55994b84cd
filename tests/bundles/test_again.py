"""Rendering again: what people read is what the records give, and whoever changes a word of it is found."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from processor.bundles import manifest as manifests
from processor.bundles.again import HELD_BYTES_MAX
from processor.bundles.bundle import write_bundle
from processor.bundles.contents import Format
from processor.bundles.renderer import renderer
from processor.bundles.verify import verify
from processor.codec import Codec
from processor.sessions.model import SessionView
from processor.sessions.report import Report
from processor.targets.target import Target
from tests.bundles.stage import sealed
from tests.runtime.stage import NAMES, Stage
from tests.sessions.exports import exported
from tests.sessions.views import CODEC, NOW_MS, day_view, day_views, made_view, varied
from tests.strategies import SCHEMA_TEXTS, confluent, make_codec


def written(root: Path, view: SessionView, *formats: Format, is_pure: bool = True) -> Path:
    chosen = frozenset(formats or Format)
    return Path(write_bundle(Target(str(root)), view, CODEC, now_ms=NOW_MS, formats=chosen, is_pure=is_pure).path)


def report_of(path: Path, codec: Codec | None = CODEC) -> Report:
    (report,) = verify(str(path), codec)
    return report


def test_the_day_is_rendered_alike(tmp_path: Path) -> None:
    """Every session of a lively day, in JSON and Avro, with withheld media, corrections, pauses and notes."""
    for view in day_views():
        written(tmp_path, view)
    reports = list(verify(str(tmp_path), CODEC))
    assert [(one.problems, one.is_rendered) for one in reports] == [([], True)] * len(day_views())


CHANGES = {
    "a note on the page": ("timeline.html", b"Tired, but signs clearly.", b"Happy, but signs clearly."),
    "a word in the table": ("messages.csv", b"Corrected:", b"Confirmed:"),
    "a note in the timeline": ("timeline.csv", b"Tired", b"Happy"),
    "a word in the timeline": ("bundle.json", b'"words":"Corrected:', b'"words":"Confirmed:'),
    "who it was": ("bundle.json", b'"expressed_by":"carer"', b'"expressed_by":"user"'),
    "what is notable": ("bundle.json", b'"notices":["corrected"', b'"notices":["rejected"'),
    "a sum": ("bundle.json", b'"escalations":0', b'"escalations":7'),
    "a flag of a tag": ("records.jsonl", b'"flags":["late"]', b'"flags":["demo"]'),
    "the page's script": ("timeline.html", b'"use strict"', b'"use Strict"'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_under_a_new_manifest_is_found(tmp_path: Path, name: str) -> None:
    """Whoever changes a word and makes the manifest anew: the files agree with each other, but not with the records."""
    path = written(tmp_path, day_view("heron-07"))
    file, old, new = CHANGES[name]
    text = (path / file).read_bytes()
    assert old in text
    (path / file).write_bytes(text.replace(old, new, 1))
    sealed(path)
    assert report_of(path, None).is_sound
    told = [(problem.file, problem.what) for problem in report_of(path).problems]
    wanted = "bundle.json" if file == "records.jsonl" else file
    assert (wanted, "it is not what records.jsonl and the session events give") in told


def test_the_place_of_a_change_is_told(tmp_path: Path) -> None:
    """By the first line that differs."""
    path = written(tmp_path, day_view("heron-07"))
    lines = (path / "messages.csv").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b",", b";", 1)
    (path / "messages.csv").write_bytes(b"".join(lines))
    sealed(path)
    assert [(problem.file, problem.where) for problem in report_of(path).problems] == [("messages.csv", "line 5")]


def test_what_is_withheld(tmp_path: Path) -> None:
    """Of content that is not kept, what is told of it stands with the records."""
    contents: list[dict[str, Any]] = [
        {"source": "communicator", "modality": "audio", "audio_payload": "AAAA", "capture_id": "c1"},
        {"source": "caregiver", "transcript": "would you", "is_partial": True, "confidence": 0.4},
        {"source": "gesture_classifier", "classifier_output": {"juice": 0.9}, "frame_data": "data:image/png;base64,AA"},
        *varied(30),
    ]
    path = written(tmp_path, made_view(contents))
    report = report_of(path)
    assert (report.problems, report.is_rendered) == ([], True)


@pytest.mark.long
def test_a_long_session(tmp_path: Path) -> None:
    """One that is read twice, since it is not kept in memory."""
    view = made_view({"source": "ui", "transcript": "x" * 1_000_000} for _ in range(HELD_BYTES_MAX // 1_000_000 + 2))
    report = report_of(written(tmp_path, view))
    assert (report.problems, report.is_rendered) == ([], True)


@pytest.mark.parametrize("formats", [(Format.JSON,), (Format.JSONL,), (Format.HTML, Format.JSONL), (Format.CSV,), ()])
def test_bundles_with_fewer_files(tmp_path: Path, formats: tuple[Format, ...]) -> None:
    """Where the session's events stand in no file that programs read, that is said."""
    chosen = frozenset(formats)
    target = Target(str(tmp_path))
    path = Path(write_bundle(target, day_view("heron-07"), CODEC, now_ms=NOW_MS, formats=chosen).path)
    report = report_of(path)
    has_events = bool({Format.JSON, Format.JSONL} & chosen)
    assert (report.problems, report.is_rendered) == ([], has_events)
    assert ("no session events" in report.not_rendered) != has_events


def test_by_another_release(tmp_path: Path) -> None:
    """It may render otherwise, so nothing is compared, and nothing is called broken; so too of rows of two releases."""
    path = written(tmp_path, day_view("heron-07"))
    old = manifests.read((path / manifests.NAME).read_bytes())
    made = manifests.make(old.session_id, old.files, written_at=old.written_at, written_by="a3cp-session-manager 0.0.9")
    (path / manifests.NAME).write_bytes(manifests.render(made))
    mixed = written(tmp_path / "mixed", day_view("heron-07"), is_pure=False)
    for report in (report_of(path), report_of(mixed)):
        assert (report.is_sound, report.is_rendered) == (True, False)
        assert "another release wrote it" in report.not_rendered


def test_without_the_registry(tmp_path: Path) -> None:
    """Messages of a registry's schema are rendered where it is known; elsewhere that is said with its reason."""
    codec = make_codec(SCHEMA_TEXTS["A3CPMessage"])
    stage = Stage(codec=codec)
    for number in range(3):
        fields = {"schema_version": "1.0.1", "record_id": f"r{number}", "user_id": "wren", "timestamp": 10**12 + number}
        stage.broker.produce(NAMES.raw, "wren", confluent("A3CPMessage", fields))
    stage.member().finish()
    exported(stage, tmp_path / "root", codec=codec)
    (report,) = verify(str(tmp_path / "root"), codec)
    assert (report.problems, report.is_rendered, report.messages) == ([], True, 3)
    (report,) = verify(str(tmp_path / "root"), CODEC)
    assert (report.problems, report.is_rendered) == ([], False)
    assert report.not_rendered.endswith("set SCHEMA_REGISTRY_URL")


def test_a_renderer_is_known_by_its_sources() -> None:
    """One word, as long as no byte of them changes."""
    assert renderer() == renderer.__wrapped__()
    assert len(renderer()) == 12


def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rendered to be compared is taken away."""
    path = written(tmp_path / "root", day_view("heron-07"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert report_of(path).is_rendered
    assert list((tmp_path / "tmp").iterdir()) == []
    shutil.rmtree(tmp_path / "root")


@pytest.mark.parametrize("formats", [tuple(Format), (Format.JSONL,)])
def test_traces_are_told_and_rendered_alike(tmp_path: Path, formats: tuple[Format, ...]) -> None:
    """Each message, also a withheld one, and each event has the trace that it belongs to, in every file that has it."""
    view, trace_id = day_view("heron-07"), "0af7651916cd43dd8448eb211c80319c"
    traced = SessionView(
        view.session,
        lambda: (row._replace(trace_id=trace_id) for row in view.messages()),
        lambda: (row._replace(trace_id=trace_id) for row in view.events()),
    )
    path = written(tmp_path, traced, *formats)
    count = len(list(view.messages())) + len(list(view.events()))
    for name in ("bundle.json", "timeline.jsonl"):
        if (path / name).exists():
            assert (path / name).read_text().count(trace_id) == count
    assert (report_of(path).problems, report_of(path).is_rendered) == ([], True)
