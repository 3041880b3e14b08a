"""What goes on beside the console's pages goes on, whatever ends it."""

import asyncio

import pytest

from console.serve import AGAIN_S, kept_up
from tests.clock import OwnedClock


async def test_a_work_that_fails_is_begun_again_a_moment_later() -> None:
    clock, begun = OwnedClock(), list[float]()

    async def work() -> None:
        begun.append(clock.monotonic())
        if len(begun) == 3:
            raise asyncio.CancelledError
        raise ZeroDivisionError

    with pytest.raises(asyncio.CancelledError):
        await kept_up(work, clock)

    assert begun == [0, AGAIN_S, 2 * AGAIN_S]
