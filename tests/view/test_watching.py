"""Who watches is told what happens, in its order, and no more than it can take."""

import asyncio

import pytest

from processor.sessions.ports import SessionFilter
from processor.view.watching import Live, Watch
from tests.sessions.outputs import message
from tests.view.stage import command, new_view, processed, take


async def read(watch: Watch, count: int) -> list[Live]:
    """Return the next `count` things that happen."""
    return [await asyncio.wait_for(anext(watch), 5) for _ in range(count)]


def test_a_session_is_watched_from_now_on() -> None:
    """Its messages and events come, those of others do not, and each position is behind what it came with."""

    async def watched() -> None:
        view = new_view()
        first, log = processed([command("ann", "start", 0)])
        take(view, first)
        session_id = view.memory.open_session("ann")
        assert session_id is not None
        watch = view.watch(session_id=session_id)
        take(view, log.process(message("ann", 1_000)))
        take(view, log.process(message("bob", 1_000, transcript=f"look at {session_id}")))
        take(view, log.process(command("ann", "end", 2_000)))

        said, ended = await read(watch, 2)
        assert said.message is not None
        assert (said.message.seq, said.position.tagged) == (1, said.message.offset + 1)
        assert ended.event is not None
        assert (ended.event.kind, ended.session_id, ended.user_id) == ("ended", session_id, "ann")
        held = view.session(session_id)
        assert held is not None
        assert ended.position == held.position
        watch.close()
        take(view, log.process(command("ann", "start", 3_000)))
        assert await anext(watch, None) is None
        assert not watch.is_slow

    asyncio.run(watched())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SessionFilter(), ["ann", "ann~0123abcd", "bob"]),
        (SessionFilter(owner="ann"), ["ann", "ann~0123abcd"]),
        (SessionFilter(owners=frozenset({"bob"})), ["bob"]),
        (SessionFilter(template="interview"), ["bob"]),
    ],
)
def test_events_of_all_wanted_sessions_are_watched(wanted: SessionFilter, expected: list[str]) -> None:
    """By whose they are, lanes with their owner, or by what they are then; messages are not told."""

    async def watched() -> None:
        view = new_view()
        watch = view.watch(wanted=wanted)
        values = [
            command("ann", "start", 0),
            message("ann", 1),
            command("ann~0123abcd", "start", 2),
            command("bob", "start", 3, template="interview"),
        ]
        written, _ = processed(values)
        take(view, written)
        found = await read(watch, len(expected))
        assert [live.user_id for live in found] == expected
        assert all(live.event is not None and live.event.kind == "started" for live in found)

    asyncio.run(watched())


def test_a_slow_reader_is_let_go() -> None:
    """It gets what waits for it, then the watch ends and says why; the others go on."""

    async def watched() -> None:
        view = new_view()
        slow, quick = view.watch(queue_max=2), view.watch()
        written, _ = processed([command(f"user{number}", "start", number) for number in range(4)])
        take(view, written)
        assert [live.user_id async for live in slow] == ["user0", "user1"]
        assert slow.is_slow
        assert [live.user_id for live in await read(quick, 4)] == [f"user{number}" for number in range(4)]

    asyncio.run(watched())


def test_waiting_may_be_cancelled_and_begun_again() -> None:
    """Nothing is lost by it, nor by a silence; what another thread takes wakes who waits."""

    async def watched() -> None:
        view = new_view()
        watch = view.watch()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.01)
        assert await watch.within(0.01) is None
        written, _ = processed([command("ann", "start", 0)])
        waiting = asyncio.create_task(read(watch, 1))
        await asyncio.to_thread(take, view, written)
        assert (await waiting)[0].user_id == "ann"

    asyncio.run(watched())


def test_all_are_let_go_when_the_view_is_closed() -> None:
    """From another thread: whoever waits for what will never come can ask another replica."""

    async def watched() -> None:
        view = new_view()
        watches = [view.watch(session_id="sess_1"), view.watch()]
        reading = [asyncio.ensure_future(anext(watch, None)) for watch in watches]
        await asyncio.to_thread(view.close)
        assert await asyncio.wait_for(asyncio.gather(*reading), 60) == [None, None]
        assert not any(watch.is_slow for watch in watches)

    asyncio.run(watched())
