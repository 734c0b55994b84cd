"""The view over what a processor writes, without Kafka."""

from processor.view.standing import Standing
from tests.sessions.outputs import PARTITIONS, message
from tests.view.stage import command, new_view, processed, take


def test_a_session_is_known_in_memory_from_its_start_to_its_end():
    """Standing, open session and owner follow the log."""
    view = new_view()
    first, log = processed([command("ann", "start", 0), message("ann", 1_000)])
    take(view, first)

    session_id = view.memory.open_session("ann")
    assert session_id is not None
    assert view.memory.user_of(session_id) == "ann"
    assert view.memory.standing("ann", session_id) is Standing.ACTIVE
    assert view.memory.standing("bob", session_id) is None

    take(view, log.process(command("ann", "pause", 2_000)))
    assert view.memory.standing("ann", session_id) is Standing.PAUSED
    assert view.memory.open_session("ann") == session_id

    take(view, log.process(command("ann", "end", 3_000)))
    assert view.memory.standing("ann", session_id) is Standing.CLOSED
    assert view.memory.open_session("ann") is None


def test_an_outcome_is_told_once_the_view_reflects_it():
    """Who waits is told when the event comes, even if the state comes later, and may read what the command did."""
    view = new_view()
    written, _ = processed([command("ann", "start", 0, session_notes="well")])
    record_id = "00000000-0000-4000-9000-000000000000"
    future = view.memory.expect(record_id, "ann")
    assert view.memory.outcome(record_id, "ann") is None

    take(view, [taken for taken in written if taken.kind == "sessions"])

    event = future.result(0)
    assert (event.kind, event.session_notes) == ("started", "well")
    assert event.session_id is not None
    assert view.memory.standing("ann", event.session_id) is Standing.ACTIVE
    assert view.memory.outcome(record_id, "ann") == event
    assert view.memory.outcome(record_id, "bob") is None
    assert view.memory.expect(record_id, "ann").result(0) == event


def test_a_session_is_read_from_the_tail():
    """Without a store, the tail tells all that came."""
    view = new_view()
    written, _ = processed([message("ann", 0), message("ann", 1_000, transcript="hello"), message("bob", 0)])
    take(view, written)

    session_id = view.memory.open_session("ann")
    assert session_id is not None
    held = view.session(session_id)
    assert held is not None
    assert (held.row.user_id, held.row.held_count, held.row.state) == ("ann", 2, "active")
    assert [row.seq for row in held.messages()] == [1, 2]
    assert [row.kind for row in held.events()] == ["started"]
    assert str(held.position).startswith(str(view.progress.position_of("ann")).split(":", maxsplit=1)[0])


def test_a_version_is_another_one_after_each_record():
    """Of an open session; also when the tails were trimmed before and after it. A closed session has none."""
    view = new_view()
    first, log = processed([command("ann", "start", 0)])
    take(view, first)
    session_id = view.memory.open_session("ann")
    assert session_id is not None
    versions = [view.memory.version(session_id)]
    for record in (
        message("ann", 1_000),
        command("ann", "note", 2_000, session_notes="x"),
        command("ann", "pause", 3_000),
    ):
        take(view, log.process(record))
        for tail in view.memory.tails.values():
            tail.drop(dict.fromkeys(range(PARTITIONS), 1 << 60))
        versions.append(view.memory.version(session_id))
    assert len(set(versions)) == 4
    assert view.memory.version(session_id) == versions[-1]
    assert view.memory.version("sess_other") is None
    take(view, log.process(command("ann", "end", 4_000)))
    assert view.memory.version(session_id) is None
