"""A view of a real Kafka: true while processors are killed, and while topics, store and view come and go."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from processor.client import SessionClient
from processor.codec import Codec, Schemas
from processor.codec.isotime import format_time
from processor.codec.schema import SHIPPED
from processor.core.model import DAY_MS
from processor.errors import UsageError
from processor.kafka.topics.admin import ensure_topics
from processor.processes.service.viewing import Viewing
from processor.sessions.ports import SessionReader
from processor.settings.documents import schema_text
from processor.store import open_store
from processor.view.standing import Standing
from processor.view.view import View
from processor.wiring import SystemClock
from tests.broker.fleet import TIMEOUT_S, Fleet, await_true, names_of
from tests.broker.site import Site

pytestmark = pytest.mark.broker

PARTITIONS = 4  # of the topics that a test has
CODEC = Codec(Schemas({name: schema_text(name) for name in SHIPPED}))


@contextmanager
def viewing(
    kafka: str, topics: str, store: SessionReader | None = None, *, later_ms: int = 0
) -> Iterator[tuple[View, Viewing]]:
    """Yield a view that follows the topics in a thread, and has caught up with where they were when it began.

    `later_ms`: how far its clock is ahead.
    """

    def now_ms() -> int:
        return SystemClock().now_ms() + later_ms

    view = View(CODEC, store, partitions=PARTITIONS, cluster_id="a cluster", now_ms=now_ms)
    conf, stopping = {"bootstrap.servers": kafka}, threading.Event()
    with Viewing(conf, names_of(topics), view, PARTITIONS) as following:

        def follow() -> None:
            while not stopping.is_set():
                following.follow()

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            await_true("the view is ready", view.progress.is_ready)
            yield view, following
        finally:
            stopping.set()
            thread.join()


def standing(view: View, user_id: str, session_id: str) -> Standing | None:
    """Return what a `validate` says: what is not known is looked for once more where the log ends now."""
    known = view.memory.standing(user_id, session_id)
    if known is None:
        assert asyncio.run(view.progress.caught_up(30))
        known = view.memory.standing(user_id, session_id)
    return known


@pytest.mark.long
def test_it_is_never_falsely_unknown_or_closed(kafka: str, topics: str, tmp_path: Path) -> None:
    """What a client has been told is so on every replica at once, though processors are killed; also after a restart.

    What a killed processor has not carried out yet is waited for, and comes once another one runs.
    """
    started: dict[str, str] = {}
    with (
        Fleet(kafka, topics, tmp_path) as fleet,
        SessionClient(kafka, topic_prefix=topics) as client,
        viewing(kafka, topics) as (one, _),
    ):
        worker = fleet.start()
        for number in range(12):
            user_id = f"user{number}"
            if number in (4, 8):
                record_id, future = f"1b4e28ba-2fa1-4d3b-a3f5-{number:012d}", None
                worker.kill()
                future = one.memory.expect(record_id, user_id)
                command = {"command": "start", "performer_id": "system", "record_id": record_id, "user_id": user_id}
                now = format_time(SystemClock().now_ms())  # No old one: its session would be ended as idle.
                client.send({"schema_version": "1.0.1", "timestamp": now, **command})
                client.flush()
                assert asyncio.run(one.progress.caught_up(30))
                assert one.memory.open_session(user_id) is None
                worker = fleet.start()
                session_id = future.result(TIMEOUT_S).session_id
            else:
                session_id = client.command(user_id, "start", performer_id="system").session_id
            assert session_id is not None
            assert standing(one, user_id, session_id) is Standing.ACTIVE
            assert standing(one, "somebody", session_id) is None
            started[user_id] = session_id
        assert client.command("user3", "end", performer_id="system").accepted
        assert client.command("user5", "pause", performer_id="system").accepted
        worker.kill()
        with viewing(kafka, topics) as (two, _):
            for view in (one, two):
                # What the client was told a moment ago may not be here yet.
                assert asyncio.run(view.progress.caught_up(30))
                for user_id, session_id in started.items():
                    expected = {"user3": Standing.CLOSED, "user5": Standing.PAUSED}.get(user_id, Standing.ACTIVE)
                    assert standing(view, user_id, session_id) is expected
                    assert view.memory.user_of(session_id) == user_id
            event = two.memory.outcome("1b4e28ba-2fa1-4d3b-a3f5-000000000004", "user4")
            assert event is not None
            assert event.session_id == started["user4"]


def test_it_begins_where_the_store_ends(kafka: str, topics: str, tmp_path: Path) -> None:
    """Sessions are whole from store and topics together; outcomes of stored commands are known too."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    with Fleet(kafka, topics, tmp_path) as fleet, SessionClient(kafka, topic_prefix=topics) as client:
        fleet.start()
        first = client.command("ann", "start", performer_id="system")
        assert first.session_id is not None
        Site(kafka, topics, tmp_path).run("export", "--store", address)
        client.command("ann", "note", note="seen", performer_id="partner")
        client.command("ann", "end", performer_id="system")
        store = open_store(address)
        with viewing(kafka, topics, store.reader) as (view, following):
            held = view.session(first.session_id)
            assert held is not None
            assert held.is_whole
            assert [event.kind for event in held.events()] == ["started", "note", "ended"]
            assert held.row.state == "ended"
            (stored,) = store.reader.held([first.session_id]).rows
            assert stored.state == "active"
            assert first.event.command_record_id is not None
            assert view.memory.outcome(first.event.command_record_id, "ann") == first.event
            following.check()
        store.close()


def test_without_a_store_an_old_start_is_known(kafka: str, topics: str, tmp_path: Path) -> None:
    """What a start said comes back days later: a repeated start answers with it."""
    with Fleet(kafka, topics, tmp_path) as fleet, SessionClient(kafka, topic_prefix=topics) as client:
        fleet.start()
        started = client.command("ann", "start", performer_id="system", session_notes="calm day")
        assert started.session_id is not None
        with viewing(kafka, topics, later_ms=3 * DAY_MS) as (view, _):
            held = view.session(started.session_id)
            assert held is not None
            assert held.row.session_notes == "calm day"


def test_topics_made_anew_are_noticed(kafka: str, topics: str) -> None:
    """What the view knows is of the former ones."""
    with viewing(kafka, topics) as (_, following):
        following.check()
    view = View(CODEC, None, partitions=PARTITIONS, cluster_id="a cluster", now_ms=SystemClock().now_ms)
    conf = {"bootstrap.servers": kafka}
    with Viewing(conf, names_of(topics), view, PARTITIONS) as following:
        admin = AdminClient({**conf})
        name = names_of(topics).sessions
        admin.delete_topics([name])[name].result()
        await_true("the topic is gone", lambda: name not in admin.list_topics(timeout=60).topics)
        ensure_topics(conf, topics, partitions=PARTITIONS)
        with pytest.raises(UsageError, match="was made anew"):
            following.check()
