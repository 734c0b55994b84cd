"""Who waits for deliveries is told once all are there, or one is not."""

import asyncio
import threading

import pytest

from processor.errors import BrokerUnavailable
from processor.faces.requests.delivering import Delivery


def test_all_must_be_delivered() -> None:
    """From whichever threads that is told."""

    async def play() -> None:
        delivery = Delivery(3)
        for _ in range(2):
            threading.Thread(target=delivery.on_done, args=(None,)).start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting := asyncio.ensure_future(delivery())), 0.02)
        delivery.on_done(None)
        await waiting

    asyncio.run(play())


def test_one_that_is_not_delivered_is_told_at_once() -> None:
    """And the rest does not matter any more."""

    async def play() -> None:
        delivery = Delivery(3)
        delivery.on_done(BrokerUnavailable("away"))
        delivery.on_done(None)
        with pytest.raises(BrokerUnavailable):
            await delivery()

    asyncio.run(play())


def test_what_comes_after_the_loop_is_closed_is_nobodys() -> None:
    """As when the service stops before the broker answers."""

    async def play() -> Delivery:
        return Delivery(1)

    asyncio.run(play()).on_done(None)
