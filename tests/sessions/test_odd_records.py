"""What is legal is read alike everywhere: the shared set of odd records goes through every reader there is."""

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from processor.audit.outcomes import audit
from processor.audit.report import AuditReport
from processor.bundles.bundle import write_bundle
from processor.bundles.reading import read_records, read_timeline
from processor.bundles.verify import verify
from processor.cli.app import app
from processor.sessions.due import view_of
from processor.sessions.forms.timeline import spooled
from processor.sessions.model import SessionView
from processor.sessions.ports import SESSIONS, TAGGED, SessionFilter
from processor.sessions.projection.decoding import decode
from processor.sessions.projection.feed import OutputRecord
from processor.sessions.projection.materializer import Materializer
from processor.store import open_store
from processor.store.sql import SqlStore
from processor.targets.paths import BUNDLE, METADATA, PAGE, TABLE, date_part
from processor.targets.target import Target
from processor.training.dataset import write_date
from tests.audit.topics import MemoryTopics
from tests.bundles.browser import Chromium
from tests.odd_records import TIME_MS, framed_records, json_commands, json_records, shipped_records
from tests.runtime.stage import NAMES, PARTITIONS, Stage
from tests.strategies import make_codec

SCHEMAS, FRAMED = framed_records()
VALUES = {**json_records(), **shipped_records(), **FRAMED}
CODEC = make_codec(*SCHEMAS)
csv.field_size_limit(1 << 24)
USERS = {CODEC.decode(value, TIME_MS).user_id: value for value in VALUES.values()}


def processed(values: Iterable[tuple[str, bytes]]) -> Stage:
    """Return a stage where the processor took `values`, and all sessions have ended."""
    stage = Stage(codec=CODEC)
    for user_id, value in values:
        stage.broker.produce(NAMES.raw, user_id, value)
    member = stage.member().finish()
    stage.clock.time_ms += 10 * stage.rules.late_horizon_ms
    member.worker.step()
    return stage


def audited(stage: Stage) -> AuditReport:
    """Return what the audit says of it."""
    topics = MemoryTopics(stage.broker, NAMES)
    return audit(topics, CODEC, NAMES, stage.rules, now_ms=stage.clock.now_ms())


def outputs(stage: Stage) -> list[OutputRecord]:
    """Return what the exporter reads."""
    return [
        OutputRecord(name, number, record.position, record.append_ms, record.raw_value)
        for topic, name in ((NAMES.tagged, TAGGED), (NAMES.sessions, SESSIONS))
        for number in range(PARTITIONS)
        for record in stage.broker.topics[topic][number]
    ]


@pytest.fixture(scope="module")
def records() -> list[OutputRecord]:
    """What the processor makes of the messages."""
    return outputs(processed(USERS.items()))


@pytest.fixture
def filled(address: str, records: list[OutputRecord], monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    """A store that holds them all."""
    with closing(open_store(address)) as store:
        applied = Materializer(store.writer, partial(decode, CODEC)).apply(records, {})
        assert (applied.messages, applied.unreadable, applied.sessions) == (len(VALUES), 0, len(VALUES))
        monkeypatch.setenv("A3CP_STORE_URL", address)
        yield store


def views(store: SqlStore) -> dict[str, SessionView]:
    """Return each session by the message that it is made of."""
    return {row.user_id: view_of(store.reader, row) for row in store.reader.sessions(SessionFilter(), limit=1_000)}


def test_the_processor_tags_them_and_the_audit_agrees() -> None:
    """None is set aside, and each is tagged without a change of what came."""
    stage = processed(USERS.items())
    assert stage.dead() == []
    assert {CODEC.strip(value) for value in stage.broker.values(NAMES.tagged) if value} == set(VALUES.values())
    report = audited(stage)
    assert (report.tagged, report.problems) == (len(VALUES), [])


def test_commands_with_odd_arguments(tmp_path: Path) -> None:
    """Each is carried out; audit, store, bundle and `verify` agree on what it says."""
    told = json_commands()
    stage = processed((user_id, value) for user_id, values in told.items() for value in values)
    assert stage.dead() == []
    assert not {"rejected", "unchanged"}.intersection(stage.kinds())
    assert audited(stage).problems == []
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        Materializer(store.writer, partial(decode, CODEC)).apply(outputs(stage), {})
        found = views(store)
        assert found.keys() == told.keys()
        for view in found.values():
            path = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=TIME_MS).path
            assert [str(problem) for report in verify(path, CODEC) for problem in report.problems] == []
            strictly(Path(path, BUNDLE).read_text("utf-8"))
            strictly(Path(path, METADATA).read_text("utf-8"))


def test_bundles_of_them_are_sound(filled: SqlStore, tmp_path: Path) -> None:
    """Each is in its bundle as it came, and says the same in every file and in the store."""
    for view in views(filled).values():
        (row,) = view.messages()
        path = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=TIME_MS).path
        assert [str(problem) for report in verify(path, CODEC) for problem in report.problems] == []
        bundle = Target(path)
        (record,) = read_records(bundle)
        assert record.content == CODEC.strip(row.value or b"")
        (entry,) = (entry for entry in read_timeline(bundle) if entry.kind == "message")
        with closing(spooled(view, CODEC)) as spool:
            assert len(spool) == 3
        with (Path(path) / TABLE).open(encoding="utf-8-sig", newline="") as file:
            (cells,) = csv.DictReader(file)
        assert strictly(cells["fields"]) == entry.record == CODEC.decode_tagged(row.value or b"").fields


def test_the_data_set_holds_them(filled: SqlStore, tmp_path: Path) -> None:
    """Parquet has what the bundle has, and no number that JSON does not know."""
    found = views(filled)
    date = date_part(next(iter(found.values())).session.start_ms)
    write_date(Target(str(tmp_path)), date, found.values(), CODEC)
    rows = pq.read_table(tmp_path / f"messages/date={date}/messages.parquet").to_pylist()
    assert len(rows) == len(VALUES)
    for row in rows:
        (message,) = found[row["user_id"]].messages()
        assert strictly(row["fields"]) == CODEC.decode_tagged(message.value or b"").fields
        scores = [row["classifier_confidence"], *(score for _, score in row["classifier_scores"] or ())]
        assert not {float("inf"), float("-inf")}.intersection(scores)


@pytest.mark.parametrize("command", [("timeline",), ("timeline", "--json"), ("show",), ("show", "--json")])
def test_the_terminal_shows_them(filled: SqlStore, tmp_path: Path, command: tuple[str, ...]) -> None:
    """From the store and, for timelines, from a bundle."""
    name, *options = command
    for view in list(views(filled).values())[::7]:
        session_id = view.session.session_id
        path = write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=TIME_MS).path
        places = [path] if name == "timeline" else [session_id]
        for place in places:
            done = CliRunner().invoke(app, ["sessions", name, place, *options])
            assert done.exit_code == 0, done.output


@pytest.mark.long
def test_the_page_shows_them(records: list[OutputRecord], chromium: Chromium, tmp_path: Path) -> None:
    """One page with all of them: each can be chosen, and nothing is an error, nor a number that became another."""
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        Materializer(store.writer, partial(decode, CODEC)).apply(records, {})
        found = list(views(store).values())
    rows = [row._replace(seq=seq) for seq, view in enumerate(found, 1) for row in view.messages()]
    view = SessionView(found[0].session, lambda: iter(rows), found[0].events)
    page = Path(write_bundle(Target(str(tmp_path)), view, CODEC, now_ms=TIME_MS).path, PAGE)
    with chromium.page() as browser:
        browser.open(page, width=1280, height=900)
        for row in rows:
            browser.run(f"location.hash = '#seq={row.seq}'")
            browser.settle()
            told = browser.run("document.querySelector('#details-body').textContent")
            shown = browser.run("JSON.parse(document.querySelector('#details-body pre').textContent)")
            assert browser.errors == []
            assert f"number {row.seq} of the session" in told
            assert "[native code]" not in told
            fields = CODEC.decode_tagged(row.value or b"").fields
            assert shown.keys() == fields.keys()
            if "whole number" in row.user_id:
                assert str(shown["odd"]) == str(fields["odd"])


def strictly(text: str) -> Any:
    """Return what JSON `text` holds, which has no numbers that JSON does not know."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    def finite(number: str) -> float:
        assert abs(float(number)) < float("inf")
        return float(number)

    return json.loads(text, parse_constant=refuse, parse_float=finite)
