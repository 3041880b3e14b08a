"""Fetches from one broker are apart, so that events that come one after the other share one."""

import asyncio
from typing import Any

import pytest

from hubspot_consumer.kafka.positions import FETCHES_APART_S, Positions, Request
from tests.clock import LoopClock, run_fast


class Brokers:
    """Answers each request at once, and notes when it came."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.asked: list[tuple[int, float]] = []
        self.request: Request = Positions(self.clock, print).spaced(self._answer)

    async def _answer(self, _assignment: Any, broker: int, _wanted: Any) -> bool:
        self.asked.append((broker, round(self.clock.monotonic(), 3)))
        return True


def test_a_request_waits_only_if_the_same_broker_has_answered_just_before() -> None:
    async def work() -> None:
        brokers = Brokers()
        for broker, after_s in ((1, 1.0), (1, 0.0), (2, 0.0), (1, 0.0), (1, 5.0)):
            await brokers.clock.sleep(after_s)
            assert await brokers.request(None, broker, None)

        first, second, other, third, last = brokers.asked
        assert other == (2, second[1])
        assert [second[1] - first[1], third[1] - second[1]] == pytest.approx([FETCHES_APART_S] * 2, abs=0.002)
        assert last[1] - third[1] == pytest.approx(5.0, abs=0.002)

    run_fast(work())


def test_a_request_that_is_cancelled_while_it_waits_is_not_made_and_returns_as_aiokafkas_does() -> None:
    async def work() -> None:
        brokers = Brokers()
        await brokers.request(None, 1, None)
        waiting = asyncio.ensure_future(brokers.request(None, 1, None))
        await asyncio.sleep(0)
        waiting.cancel()

        assert await waiting is False
        assert len(brokers.asked) == 1

    run_fast(work())
