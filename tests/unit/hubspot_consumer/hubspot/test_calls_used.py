"""Calls used of those allowed: nearly all, for any number of workers and wherever HubSpot counts a call."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from tests.clock import LoopClock, run_fast

QUOTA = 100
WINDOW_S = 10.0
PARTITIONS = 12
# The trust in steady durations has grown by then, in seconds.
LEARNED_S = 100.0


def limiter_of(numbers: Collection[int], quota: int = QUOTA, of: int = PARTITIONS) -> RateLimiter:
    clock = LoopClock()
    limiter = RateLimiter(quota, WINDOW_S, DailyQuota(1_000_000, clock), clock)
    limiter.divide_by(numbers, of)
    return limiter


def divided_among(workers: int) -> list[RateLimiter]:
    return [limiter_of(range(first, PARTITIONS, workers)) for first in range(workers)]


class Portal:
    """HubSpot, which counts each call at a moment of its *duration_s*: 0 is its sending, and 1 its answer."""

    def __init__(self, moment: Callable[[], float], duration_s: float = 0.3) -> None:
        self._moment = moment
        self._duration_s = duration_s
        self.counted: list[float] = []
        self.most = 0

    async def call(self, limiter: RateLimiter) -> None:
        moment = self._moment()
        await asyncio.sleep(self._duration_s * moment)
        headers = self._count()
        await asyncio.sleep(self._duration_s * (1 - moment))
        limiter.observe(headers)

    def _count(self) -> Mapping[str, str]:
        now = asyncio.get_running_loop().time()
        self.counted.append(now)
        used = sum(time > now - WINDOW_S for time in self.counted[-2 * QUOTA :])
        self.most = max(self.most, used)
        return {
            "X-HubSpot-RateLimit-Max": str(QUOTA),
            "X-HubSpot-RateLimit-Remaining": str(max(0, QUOTA - used)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_S * 1000)),
        }

    def used_of_allowed(self, since: float, until: float) -> float:
        """Return the share of the allowed calls that were made between two times."""
        return sum(since < time <= until for time in self.counted) / ((until - since) * QUOTA / WINDOW_S)


async def backlog(portal: Portal, limiters: Sequence[RateLimiter], until: float) -> None:
    """Make all calls that the limiters allow."""
    async with asyncio.TaskGroup() as tasks:
        for limiter in limiters:
            tasks.create_task(_backlog_of(portal, limiter, until))


async def _backlog_of(portal: Portal, limiter: RateLimiter, until: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        while asyncio.get_running_loop().time() < until:
            slot = await limiter.slot()

            async def call(slot: object = slot) -> None:
                with slot:  # type: ignore[attr-defined]
                    await portal.call(limiter)

            tasks.create_task(call())


@given(st.lists(st.integers(0, 7), min_size=1, max_size=40), st.integers(0, 250))
def test_the_parts_of_all_workers_add_up_to_the_quota_whatever_partitions_each_has(
    worker_of: list[int], more: int
) -> None:
    quota = len(worker_of) + more
    parts = [[number for number, worker in enumerate(worker_of) if worker == one] for one in set(worker_of)]
    owns = [limiter_of(part, quota, of=len(worker_of)).left for part in parts]
    assume(quota // 100 <= more)

    assert sum(owns) == quota - quota // 100


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_workers_with_calls_of_a_steady_duration_use_almost_all_of_the_quota(workers: int, moment: float) -> None:
    portal = Portal(lambda: moment)
    run_fast(backlog(portal, divided_among(workers), until=LEARNED_S + 100))

    assert portal.used_of_allowed(LEARNED_S, LEARNED_S + 100) >= 0.975
    assert portal.most <= QUOTA


@settings(max_examples=10)
@given(st.integers())
def test_a_steady_duration_that_hides_when_a_call_is_counted_breaks_no_quota(seed: int) -> None:
    portal = Portal(random.Random(seed).random)
    run_fast(backlog(portal, divided_among(1), until=200))

    assert portal.most <= QUOTA


def test_calls_of_a_steady_duration_that_gets_longer_break_no_quota() -> None:
    portal = Portal(lambda: 1.0)

    async def slower() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(backlog(portal, divided_among(1), until=150))
            await asyncio.sleep(LEARNED_S)
            portal._duration_s = 0.8

    run_fast(slower())

    assert portal.most <= QUOTA


def test_calls_of_a_steady_duration_that_gets_shorter_break_no_quota() -> None:
    portal = Portal(lambda: 1.0, duration_s=0.8)

    async def faster() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(backlog(portal, divided_among(1), until=4 * LEARNED_S + 50))
            await asyncio.sleep(4 * LEARNED_S)
            portal._duration_s = 0.05

    run_fast(faster())

    assert portal.most <= QUOTA


def test_partitions_that_are_not_counted_yet_have_no_part_of_the_quota() -> None:
    assert limiter_of(range(24), of=PARTITIONS).left == limiter_of(range(PARTITIONS)).left


@pytest.mark.parametrize(("quota", "workers"), [(10, 12), (10, 5), (1, 3), (100, 150)])
def test_workers_of_more_partitions_than_calls_stay_within_the_quota_together(quota: int, workers: int) -> None:
    of = max(workers, PARTITIONS)
    limiters = [limiter_of(range(first, of, workers), quota, of=of) for first in range(workers)]

    assert sum(WINDOW_S / limiter.spacing_s for limiter in limiters) <= quota


@pytest.mark.parametrize(("numbers", "at_once"), [(range(PARTITIONS), 4), (range(2), 2)])
def test_events_of_the_same_moment_do_not_wait_for_one_another(numbers: range, at_once: int) -> None:
    async def waited() -> list[float]:
        limiter, times = limiter_of(numbers), []
        await asyncio.sleep(WINDOW_S)
        for _ in range(at_once + 1):
            await limiter.slot()
            times.append(asyncio.get_running_loop().time() - WINDOW_S)
        return times

    *first, last = run_fast(waited())

    assert max(first) == pytest.approx(0, abs=1e-3)
    assert last > 0


@pytest.mark.parametrize(("held", "of", "share"), [(0, 12, 1 / 12), (9, 12, 0.75), (12, 12, 1.0), (9, 6, 1.0)])
def test_a_worker_has_the_share_of_its_partitions_and_at_least_that_of_one(held: int, of: int, share: float) -> None:
    assert limiter_of(range(held), of=of).share == share
