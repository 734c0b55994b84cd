"""Who asks together is answered together, and never with an answer that is older than the question."""

import asyncio

import pytest

from processor.view.shared import Shared


def test_who_comes_while_a_question_is_under_way_shares_the_next_one() -> None:
    """The answer to the first question may be older than the others' asking, so it is not for them."""

    async def play() -> tuple[list[int], int]:
        asked = 0
        go = asyncio.Event()

        async def ask() -> int:
            nonlocal asked
            asked += 1
            number = asked
            await go.wait()
            return number

        shared = Shared(ask)
        first = asyncio.create_task(shared())
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(shared()) for _ in range(50)]
        await asyncio.sleep(0.01)
        go.set()
        return await asyncio.gather(first, *others), asked

    answers, asked = asyncio.run(play())
    assert answers == [1, *[2] * 50]
    assert asked == 2


def test_each_of_those_who_share_is_told_what_went_wrong() -> None:
    """And the next question is asked anew."""

    async def play() -> None:
        answers = iter([OSError("away"), None])

        async def ask() -> str:
            await asyncio.sleep(0)
            if (error := next(answers)) is not None:
                raise error
            return "here"

        shared = Shared(ask)
        told = await asyncio.gather(shared(), shared(), return_exceptions=True)
        assert [str(error) for error in told] == ["away", "away"]
        assert await shared() == "here"

    asyncio.run(play())


def test_who_gives_up_leaves_the_others_their_answer() -> None:
    """A time-out of one is no time-out of all."""

    async def play() -> str:
        async def ask() -> str:
            await asyncio.sleep(0.05)
            return "here"

        shared = Shared(ask)
        patient = asyncio.create_task(shared())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shared(), 0.001)
        return await patient

    assert asyncio.run(play()) == "here"
