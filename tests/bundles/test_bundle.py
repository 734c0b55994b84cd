"""Bundles: what is in them, what never is, and that they are whole or not there."""

import csv
import io
import json
import shutil
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.bundles import contents, placing
from processor.bundles.bundle import BundleOutcome, Written, write_bundle
from processor.bundles.contents import Format
from processor.bundles.placing import remove_bundle
from processor.bundles.sink import Sink
from processor.bundles.table import Messages, defused, write_timeline
from processor.bundles.verify import verify
from processor.sessions.forms.shapes import PUBLISHED, schema_text
from processor.sessions.forms.timeline import SPOOL_BYTES_MAX, message_line
from processor.sessions.model import SessionView
from processor.targets.locks import TEMPORARY
from processor.targets.paths import bundle_path
from processor.targets.target import Target
from tests.sessions.views import CODEC, NOW_MS, START_MS, day_view, day_views, made_view, message_row, varied

SCHEMAS = Path(__file__).parents[2] / "schemas" / "bundle"


def write(root: Path, view: SessionView, now_ms: int = NOW_MS) -> Written:
    return write_bundle(Target(str(root)), view, CODEC, now_ms=now_ms)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def left_over(root: Path) -> list[str]:
    return [path.name for path in (root / TEMPORARY).iterdir() if not path.name.startswith("lock-")]


def load(written: Written, name: str) -> Any:
    return json.loads((Path(written.path) / name).read_bytes())


def lines(written: Written, name: str) -> list[Any]:
    return [json.loads(line) for line in (Path(written.path) / name).read_bytes().splitlines()]


@pytest.mark.parametrize("name", PUBLISHED)
def test_schemas_are_published(name):
    """The published JSON schemas are those of the code."""
    assert (SCHEMAS / f"{name}.json").read_text("utf-8") == schema_text(name)
    assert {path.stem for path in SCHEMAS.iterdir()} == set(PUBLISHED)


def test_every_file_of_the_day_fits_its_schema(tmp_path):
    """All sessions of the demo's day, in JSON and Avro, fit the published schemas, and verify."""
    validators = {
        name: jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text("utf-8")))
        for name in PUBLISHED
    }
    for view in day_views():
        written = write(tmp_path, view)
        for name in ("session_metadata", "bundle", "manifest"):
            validators[name].validate(load(written, f"{name}.json"))
        for line in lines(written, "timeline.jsonl"):
            validators["timeline-line"].validate(line)
        for line in lines(written, "records.jsonl"):
            validators["records-line"].validate(line)
    reports = list(verify(str(tmp_path), CODEC))
    assert [str(problem) for report in reports for problem in report.problems] == []
    assert len(reports) == len(day_views())


def test_what_does_not_conform_says_why(tmp_path):
    """In bundle.json, with the words of the metric; whatever conforms has no such field."""
    seen = set()
    for view in day_views():
        for entry in load(write(tmp_path, view), "bundle.json")["timeline"]:
            is_kept = "withheld" not in entry["notices"]
            assert ("reasons" in entry) == ("nonconforming" in entry["notices"] and is_kept)
            seen.update(entry.get("reasons", ()))
    assert seen == {"modality_unknown", "record_id_missing"}


def test_metadata_has_the_record_that_was_asked_for(tmp_path):
    """Requirement 003's record: ids, times, status, the steps that are done and how long they took."""
    metadata = load(write(tmp_path, day_view("wren-03")), "session_metadata.json")
    wanted = {
        "created_at": "2025-11-20T10:00:00.000Z",
        "status": "closed",
        "user_id": "wren-03",
        "audit_path": "timeline.jsonl",
        "steps_completed": ["walk to the garden"],
        "completeness": "complete",
    }
    assert wanted.items() <= metadata.items()
    assert metadata["timing"]["walk_to_the_garden_ms"] == 15 * 60_000
    assert metadata["timing"]["paused_ms"] == 75 * 60_000


def test_the_bundle_tells_the_whole_session(tmp_path):
    """Metadata, notes, context, events and proof; user, carer and system in one order of time."""
    bundle = load(write(tmp_path, day_view("heron-07")), "bundle.json")
    assert [note["note"] for note in bundle["notes"]] == [
        "Snack time: practising the sign for drink.",
        "Tired, but signs clearly.",
    ]
    timeline = bundle["timeline"]
    assert [entry["at"] for entry in timeline] == sorted(entry["at"] for entry in timeline)
    assert {entry["expressed_by"] for entry in timeline} == {"user", "carer", "system", "session"}
    assert timeline[0]["kind"] == "started"
    words = [entry["words"] for entry in timeline]
    assert "Signed: “drink” (81 % sure)" in words
    assert "Corrected: “more” means “drink”" in words
    late = next(entry for entry in timeline if "late" in entry["notices"])
    assert late["record"]["event"] == "raw_features.ready"
    assert bundle["proof"]["status"] == "complete"
    context = load(write(tmp_path, day_view("finch-09", 1)), "bundle.json")["context"]
    assert context[0]["context"] == {"location": "practice", "room": 2}


def test_messages_tell_notes_and_context_too(tmp_path):
    """Where upstream's modules have them, with the message's number and whose it is; commands' among them."""
    kitchen = {"context_location": "kitchen", "context_partner_speech": "Are you thirsty?"}
    fields: list[dict[str, Any]] = [
        {"source": "partner_ui", "performer_id": "carer01", "notes": "Looked at the cup."},
        {"source": "output_planner", "context": kitchen},
        {"source": "output_expander", "context": kitchen},
        {"source": "sound_playback", "annotation_context": "play or music?", "notes": "play or music?"},
        {"source": "ui", "context": {"session_notes": "tired", "location": "hall"}, "session_notes": ["odd"]},
        {"source": "clarification_planner", "context_topic_tag": "food", "context": "odd", "notes": " "},
        {"source": "ui", "performer_id": 7, "context": {}, "notes": None},
    ]
    bundle = load(write(tmp_path, made_view(fields, notes=("by command",))), "bundle.json")
    jsonschema.validate(bundle, json.loads(schema_text("bundle")))
    notes = [(note["seq"], note["expressed_by"], note["performer_id"], note["note"]) for note in bundle["notes"]]
    assert notes == [
        (1, "carer", "carer01", "Looked at the cup."),
        (None, None, "carer-02", "by command"),
        (4, "carer", None, "play or music?"),
        (5, "carer", None, "tired"),
    ]
    assert [(context["seq"], context["expressed_by"], context["context"]) for context in bundle["context"]] == [
        (2, "system", kitchen),
        (5, "carer", {"session_notes": "tired", "location": "hall"}),
        (6, "system", {"context_topic_tag": "food"}),
    ]
    at = {entry["seq"]: entry["at"] for entry in bundle["timeline"] if entry["kind"] == "message"}
    assert [at[seq] for seq in (1, 4, 5)] == [note["at"] for note in bundle["notes"] if note["seq"]]


def test_the_audit_log_has_upstreams_form(tmp_path):
    """Lines of {recorded_at, event}, compact, in UTF-8 as it is, in order of the log; the session id is right."""
    view = made_view([{"source": "ui", "note": "Grüße, 你好 🦊"}, {"source": "ui"}])
    written = write(tmp_path, view)
    raw = (Path(written.path) / "timeline.jsonl").read_bytes()
    assert "Grüße, 你好 🦊".encode() in raw
    told = lines(written, "timeline.jsonl")
    assert [list(line) for line in told] == [["recorded_at", "event"]] * 4
    assert all(line["event"]["session_id"] == view.session.session_id for line in told)
    assert [line["event"].get("kind") for line in told] == ["started", None, None, "ended"]
    assert b": " not in raw.replace("Grüße".encode(), b"")


def test_twice_gives_the_same_bytes(tmp_path):
    """At another time, elsewhere, the files are the same but for the manifest; in the same place nothing changes."""
    one, other = tmp_path / "one", tmp_path / "other"
    for view in day_views():
        write(one, view)
        write(other, view, NOW_MS + 86_400_000)
    before, elsewhere = tree(one), tree(other)
    assert {name for name in before if before[name] != elsewhere[name]} == {
        name for name in before if name.endswith("manifest.json")
    }
    assert {write(one, view, NOW_MS + 5).outcome for view in day_views()} == {BundleOutcome.UNCHANGED}
    assert tree(one) == before


def test_other_content_replaces_it(tmp_path):
    """A session that went on replaces its bundle; nothing of the old one or of a killed run is left."""
    short, long = made_view(varied(3), ended=False), made_view(varied(9))
    folder = Path(write(tmp_path, short).path)
    (tmp_path / TEMPORARY / f"{folder.name}=.00000000").mkdir()
    assert write(tmp_path, long).outcome is BundleOutcome.REPLACED
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert left_over(tmp_path) == []
    assert len((folder / "records.jsonl").read_bytes().splitlines()) == 9


def test_an_earlier_state_replaces_no_later_one(tmp_path):
    """Who read a session before it went on, and writes after others did, leaves theirs, unless that is damaged."""
    short, long = made_view(varied(3), ended=False), made_view(varied(9))
    later = write(tmp_path, long)
    before = tree(tmp_path)
    assert write(tmp_path, short).outcome is BundleOutcome.UNCHANGED
    assert tree(tmp_path) == before
    metadata = Path(later.path) / "session_metadata.json"
    metadata.write_bytes(b"x" * metadata.stat().st_size)
    assert write(tmp_path, short).outcome is BundleOutcome.REPLACED
    assert write(tmp_path, long).outcome is BundleOutcome.REPLACED


def test_an_erased_session_that_comes_again_is_written(tmp_path):
    """Erasing takes the bundle away, so a session of the same id and with less in it is written."""
    short, long = made_view(varied(3), ended=False), made_view(varied(9))
    write(tmp_path, long)
    remove_bundle(Target(str(tmp_path)), str(tmp_path / bundle_path(long.session.session_id, START_MS)))
    assert write(tmp_path, short).outcome is BundleOutcome.WRITTEN


def test_a_bundle_that_was_being_replaced_comes_back(tmp_path):
    """Killed between the two renames, the old bundle is there again with the next run."""
    view = made_view(varied(3))
    folder = Path(write(tmp_path, view).path)
    folder.rename(tmp_path / TEMPORARY / f"{folder.name}=.00000000.old")
    assert write(tmp_path, view).outcome is BundleOutcome.UNCHANGED


def test_a_damaged_bundle_is_written_again(tmp_path):
    """A bundle with a file cut off or missing is not taken for the same."""
    view = made_view(varied(3))
    written = write(tmp_path, view)
    (Path(written.path) / "messages.csv").write_bytes(b"")
    assert write(tmp_path, view).outcome is BundleOutcome.REPLACED


def test_never_half_a_bundle(tmp_path, monkeypatch):
    """Whatever fails on the way (a full disk, say), the old bundle is there as it was, and nothing else."""
    write(tmp_path, made_view(varied(3), ended=False))
    before = tree(tmp_path)

    def full(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    for where, name in (
        (contents, "page"),
        (contents, "_bundle_head"),
        (placing, "_rename"),
        (contents, "summary_of"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, full)
            with pytest.raises(OSError, match="No space"):
                write(tmp_path, made_view(varied(9)))
        assert tree(tmp_path) == before
        assert left_over(tmp_path) == []


def test_several_exporters_at_once(tmp_path):
    """Two states of one session, written by several again and again: no error, and the later one is there, whole."""
    views = [made_view(varied(3), ended=False), made_view(varied(9))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write(tmp_path, views[number % 2]), range(40)))
    assert [(report.problems, report.messages) for report in verify(str(tmp_path), CODEC)] == [([], 9)]
    assert left_over(tmp_path) == []


def test_any_target_of_fsspec():
    """Elsewhere than on a file system, the manifest comes last, and the content is the same."""
    target = Target("memory://bundles")
    view = made_view(varied(5))
    assert write_bundle(target, view, CODEC, now_ms=NOW_MS).outcome is BundleOutcome.WRITTEN
    assert write_bundle(target, view, CODEC, now_ms=NOW_MS + 1).outcome is BundleOutcome.UNCHANGED
    assert [report.problems for report in verify("memory://bundles", CODEC)] == [[]]
    assert remove_bundle(target, target.path(bundle_path(view.session.session_id, START_MS)))
    assert not remove_bundle(target, target.path(bundle_path(view.session.session_id, START_MS)))


@pytest.mark.parametrize("session_id", ["../../x", "CON", "🦊" * 60, "a/b", "x" * 255, "."])
def test_hostile_ids_stay_in_their_folder(tmp_path, session_id):
    """An id is a name below the date, never a way to elsewhere."""
    root = tmp_path / "root"
    written = write(root, made_view(varied(2), session_id=session_id))
    assert Path(written.path).parent == root / "2025-11-21"
    assert list(tmp_path.iterdir()) == [root]
    assert [report.problems for report in verify(str(root), CODEC)] == [[]]


PICTURE = "iVBORw0KGgoSECRET"
SECRETS: list[dict[str, Any]] = [
    {"source": "camera_feed_worker", "event": "capture.frame", "frame_data": PICTURE},
    {"source": "ui", "deep": [{"er": {"picture": f"data:image/png;base64,{PICTURE}"}}]},
    {"source": "communicator", "audio_format": "base64", "audio_payload": PICTURE},
    {"source": "caregiver", "transcript": f"half {PICTURE}", "is_partial": True},
]


def test_what_must_not_be_kept_never_enters(tmp_path):
    """Raw media and partial transcripts: hash and size in their place, and the proof still holds."""
    view = made_view([{"source": "ui"}, *SECRETS, {"source": "ui"}])
    rows = list(view.messages())
    assert [row.withheld is None for row in rows] == [True, False, False, False, False, True]
    assert not any(PICTURE.encode() in data for data in tree(Path(write(tmp_path, view).path)).values())
    report = next(iter(verify(str(tmp_path))))
    assert (report.status, report.messages, report.problems) == ("complete", 6, [])


def test_the_last_gate(tmp_path):
    """Should a store hold after all what must not be kept, also behind escapes, the bundle does not."""
    session = "sess_20251121_090000_0123456789abcdef0123456789abcdef"
    escaped = b'{"user_id":"u","timestamp":"2025-11-21T09:00:00.000Z","frame\\u005fdata":"%b"' % PICTURE.encode()
    tail = (
        b',"session_id":"%b","session_seq":1,"session_start":"2025-11-21T09:00:00.000Z","session_flags":[]}'
        % session.encode()
    )
    view = made_view(varied(1))
    row = message_row(escaped + tail, START_MS + 3)
    assert (row.value, row.withheld) == (None, "raw media")
    leaked = row._replace(value=escaped + tail, withheld=None)
    leaking = SessionView(view.session, lambda: iter([leaked]), view.events)
    assert not any(PICTURE.encode() in data for data in tree(Path(write(tmp_path, leaking).path)).values())


def test_numbers_that_nothing_holds(tmp_path):
    """JSON's numbers have no end: what no float holds stands in the records, and stops neither bundle nor proof."""
    large = {"classifier_output": {"help": 10**400}, "scores": [10**400]}
    view = made_view([large, {"source": "ui"}])
    told = next(view.events())
    step = b'"step":{"name":"s","duration_ms":1e400},"x":1e400,"y":%b' % (b"9" * 5000)
    text = told.value.replace(b'"kind":"started"', b'"details":{%b},"kind":"step"' % step)
    assert text != told.value
    odd = SessionView(view.session, view.messages, lambda: iter([told._replace(value=text), *list(view.events())[1:]]))
    written = write(tmp_path, odd)
    assert str(10**400) in lines(written, "records.jsonl")[0]["text"]
    report = next(iter(verify(str(tmp_path))))
    assert (report.status, report.problems) == ("complete", [])


def test_records_are_the_bytes_that_came(tmp_path):
    """Each message's SHA-256, in JSON and in Avro, is that of its content in records.jsonl."""
    for user_id in ("otter-12", "wren-03"):
        view = day_view(user_id)
        written = write(tmp_path, view)
        for row, line in zip(view.messages(), lines(written, "records.jsonl"), strict=True):
            assert line["content_hash"] == row.content_hash.hex()
            if "text" in line:
                assert sha256(line["text"].encode()).digest() == row.content_hash


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "|cmd", "%0a", "＝1", "=cmd|' /C calc'!A0"],
)
def test_formulas_are_defused(text):
    """No cell begins as a formula does, in any spreadsheet."""
    assert defused(text).startswith("'")
    assert defused(text).replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("x;=HYPERLINK(1)", "x;'=HYPERLINK(1)"),
        ("x\n=1", "x\n'=1"),
        ("x\t +1;b", "x\t '+1;b"),
        ('x; ""@SUM(A1)', 'x; ""\'@SUM(A1)'),
        ({"a": ";-1"}, '{"a":";\'-1"}'),
        ("a = 1; b; c", "a = 1; b; c"),
        ('5 "=" 5', '5 "=" 5'),
    ],
)
def test_formulas_inside_are_defused(text, safe):
    """Nor where a cell begins for a spreadsheet that separates by `;` or tabs; other text stays as it is."""
    assert defused(text) == safe


def test_formulas_are_looked_for_in_time():
    """Text made of nothing but blanks takes no longer than other text."""
    started = time.monotonic()
    defused("x" + "\n" * 1_000_000)
    assert time.monotonic() - started < 60  # Beginning anew at each blank would take hours.


HOSTILE = st.text(st.sampled_from("=+-@|%;,\"'\n\r\t a{\uff1d"), max_size=12)


@settings(max_examples=300)
@given(texts=st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=3), separator=st.sampled_from(",;\t"))
def test_no_cell_is_a_formula_whatever_separates(texts, separator):
    """However a spreadsheet splits the table, none of its cells begins with what makes a formula."""
    view = made_view([{"source": one, "output_phrase": other, "note": [one]} for one, other in texts])
    with tempfile.TemporaryDirectory() as folder:
        out, timeline = Sink(Path(folder), "messages.csv"), Sink(Path(folder), "timeline.csv")
        entries = [message_line(row, CODEC)[0].entry for row in view.messages()]
        table = Messages(out)
        for entry in entries:
            table.write(entry)
        table.flush()
        write_timeline(timeline, entries)
        out.close()
        timeline.close()
        data = "".join((Path(folder) / name).read_text("utf-8-sig") for name in ("messages.csv", "timeline.csv"))
    for line in csv.reader(io.StringIO(data, newline=""), delimiter=separator):
        assert not [cell for cell in line if cell.lstrip().startswith(tuple("=+-@|%\uff1d"))]


def test_the_table_is_plain_csv(tmp_path):
    """Quotes, line ends and formulas in messages stay in their cells."""
    view = made_view([{"source": "=HYPERLINK(1)", "output_phrase": 'a "b"\r\n,c', "performer_id": "-x"}])
    data = (Path(write(tmp_path, view).path) / "messages.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert row["source"] == "'=HYPERLINK(1)"
    assert row["output_phrase"] == 'a "b"\r\n,c'
    assert row["performer_id"] == "'-x"


def test_the_timeline_is_a_table_too(tmp_path):
    """What the page shows, in its order and its words: whose it is, notes, folded recordings, silences, fields last."""
    path = Path(write(tmp_path, day_view("heron-07")).path) / "timeline.csv"
    rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    assert rows[0][:5] == ["time (UTC)", "until", "who", "what", "worth knowing"]
    told = [row[:5] for row in rows[1:]]
    assert ["2025-11-20 09:12:00", "", "Carer", "Note by carer-02: “Tired, but signs clearly.”", ""] in told
    assert ["2025-11-20 09:01:05", "", "User", "Signed: “drink” (81 % sure)", ""] in told
    assert ["2025-11-20 09:01:00", "", "System", "Camera, 2 s, 14 pictures, for “drink”", ""] in told
    assert ["", "", "", "11 min without messages", ""] in told
    assert ["2025-11-20 09:15:25", "", "Carer", "Corrected: “more” means “drink”", "corrected"] in told
    times = [row[0] for row in told if row[0]]
    assert times == sorted(times)
    assert all(json.loads(row[-1].replace("\\u003b", ";")) for row in rows[1:] if row[2])


def test_no_cell_of_the_timeline_is_a_formula(tmp_path):
    """Neither in its words nor in who did it."""
    view = made_view(
        [{"output_phrase": "x", "performer_id": "=1+1", "source": "@SUM(A1)", "content": "=2", "role": "user"}]
    )
    rows = list(csv.reader((Path(write(tmp_path, view).path) / "timeline.csv").read_text("utf-8-sig").splitlines()))
    assert rows[2][5:7] == ["'=1+1", "'@SUM(A1)"]


def test_formats_can_be_chosen(tmp_path):
    """What every bundle has is there; the rest as asked for; and it verifies."""
    target = Target(str(tmp_path))
    written = write_bundle(target, made_view(varied(4)), CODEC, now_ms=NOW_MS, formats=frozenset({Format.CSV}))
    names = {path.name for path in Path(written.path).iterdir()}
    assert names == {"session_metadata.json", "records.jsonl", "messages.csv", "timeline.csv", "manifest.json"}
    assert load(written, "session_metadata.json")["audit_path"] is None
    assert [report.problems for report in verify(str(tmp_path), CODEC)] == [[]]


@pytest.mark.long
def test_memory_does_not_grow_with_the_session(tmp_path):
    """A long session takes little more memory than what is written at a time."""
    view = made_view(varied(6_000))
    tracemalloc.start()
    try:
        write(tmp_path, view)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < SPOOL_BYTES_MAX * 2.5


def test_removed_with_what_was_left(tmp_path):
    """Erasing a session leaves nothing of it."""
    view = made_view(varied(2))
    folder = Path(write(tmp_path, view).path)
    shutil.copytree(folder, tmp_path / TEMPORARY / f"{folder.name}=.00000000")
    assert remove_bundle(Target(str(tmp_path)), str(tmp_path / bundle_path(view.session.session_id, START_MS)))
    assert not [name for name in tree(tmp_path) if not name.startswith(f"{TEMPORARY}/lock-")]
