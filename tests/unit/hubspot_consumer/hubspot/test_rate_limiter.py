"""Pacing: never more calls in a window than the quota, wherever HubSpot counts them, and hardly fewer."""

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from tests.clock import LoopClock, run_fast

WINDOW_S = 10.0
MANY = 1_000_000


def pacing_of(quota: int, daily_limit: int = MANY) -> RateLimiter:
    clock = LoopClock()
    return RateLimiter(quota, WINDOW_S, DailyQuota(daily_limit, clock), clock)


class Portal:
    """HubSpot's side: counts a call somewhere between its sending and its answer, and tells in the headers."""

    def __init__(self, quota: int, latency_s: float, seed: int) -> None:
        self._quota = quota
        self._latency_s = latency_s
        self._jitter = random.Random(seed)
        self.counted: list[float] = []
        self.sent: list[tuple[float, float]] = []

    async def call(self, rate_limiter: RateLimiter) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        await asyncio.sleep(self._latency_s * self._jitter.random())
        headers = self.count()
        await asyncio.sleep(self._latency_s * self._jitter.random())
        self.sent.append((sent, loop.time()))
        rate_limiter.observe(headers)

    def count(self) -> Mapping[str, str]:
        now = asyncio.get_running_loop().time()
        self.counted.append(now)
        used = sum(time > now - WINDOW_S for time in self.counted)
        return {
            "X-HubSpot-RateLimit-Max": str(self._quota),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self._quota - used)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_S * 1000)),
        }

    def most_in_a_window(self, since: float = 0.0) -> int:
        """Return the most calls that were counted in a window, of those counted after *since*."""
        times = sorted(time for time in self.counted if time > since)
        first = 0
        most = 0
        for last, time in enumerate(times):
            while times[first] <= time - WINDOW_S:
                first += 1
            most = max(most, last - first + 1)
        return most

    @property
    def most_that_could_be(self) -> int:
        """The most that could have been counted in a window, each call anywhere between its sending and its answer."""
        # The window that ends with a call's sending holds the calls sent before and answered after it began.
        return max(
            sum(sent <= end and answered > end - WINDOW_S for sent, answered in self.sent) for end, _ in self.sent
        )


async def calls(portal: Portal, rate_limiter: RateLimiter, number: int, at_once: int) -> None:
    """Make *number* calls as fast as the pacing lets."""
    may_call = asyncio.Semaphore(at_once)

    async def call() -> None:
        async with may_call:
            with await rate_limiter.slot():
                await portal.call(rate_limiter)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(call())


@settings(max_examples=40)
@given(st.integers(1, 60), st.floats(0, 12), st.integers(1, 16), st.integers())
def test_no_window_ever_holds_more_calls_than_the_quota(quota: int, latency_s: float, at_once: int, seed: int) -> None:
    portal = Portal(quota, latency_s / 2, seed)
    run_fast(calls(portal, pacing_of(quota), 4 * quota, at_once))

    assert portal.most_that_could_be <= quota


@pytest.mark.parametrize("quota", [100, 190])
def test_a_backlog_uses_almost_all_of_the_quota_at_300_ms_a_call(quota: int) -> None:
    portal = Portal(quota, 0.3, seed=1)
    run_fast(calls(portal, pacing_of(quota), 20 * quota, 8))

    assert len(portal.counted) / max(portal.counted) >= 0.95 * quota / WINDOW_S


HOLDINGS = st.lists(
    st.lists(st.integers(1, 6), min_size=1, max_size=8), min_size=1, max_size=6
)  # partitions of each worker, from one rebalance to the next
BETWEEN_REBALANCES_S = 25.0


@settings(max_examples=25)
@given(HOLDINGS, st.sampled_from([0.0, 0.02, 0.15, 0.3]), st.integers())
def test_any_number_of_workers_keep_within_the_quota_while_partitions_change_hands(
    holdings: list[list[int]], latency_s: float, seed: int
) -> None:
    portal = Portal(100, latency_s, seed)
    run_fast(_rebalancing(portal, holdings))

    assert portal.most_in_a_window() <= 100


@pytest.mark.parametrize("holdings", [[[12]], [[6, 6]], [[4, 4, 4]], [[6, 6], [4, 4, 4], [12]]])
def test_any_number_of_workers_use_almost_all_of_the_quota(holdings: list[list[int]]) -> None:
    portal = Portal(100, 0.15, seed=1)
    run_fast(_rebalancing(portal, holdings, each_s=100))

    assert len(portal.counted) / (100 * len(holdings)) >= 0.95 * 100 / WINDOW_S


async def _rebalancing(portal: Portal, holdings: Sequence[Sequence[int]], each_s: float = BETWEEN_REBALANCES_S) -> None:
    """Let workers with a backlog make all calls they may; at a rebalance all finish theirs before any goes on."""
    workers = [pacing_of(100) for _ in range(max(map(len, holdings)))]
    for held in holdings:
        until = asyncio.get_running_loop().time() + each_s
        async with asyncio.TaskGroup() as tasks:
            for rate_limiter, partitions in zip(workers, held, strict=False):
                rate_limiter.divide(partitions / sum(held))
                tasks.create_task(_backlogged(portal, rate_limiter, until))


async def _backlogged(portal: Portal, rate_limiter: RateLimiter, until: float) -> None:
    may_call, loop = asyncio.Semaphore(8), asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        while True:
            await may_call.acquire()
            slot = await rate_limiter.slot()
            if loop.time() >= until or rate_limiter.daily.spent_until:
                slot.give_back()
                return

            async def call(slot: Any = slot) -> None:
                with slot:
                    await portal.call(rate_limiter)
                may_call.release()

            tasks.create_task(call())


def test_another_app_with_our_token_is_given_way_to() -> None:
    portal = Portal(100, 0.1, seed=1)

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            ours = tasks.create_task(_backlogged(portal, pacing_of(100), until=120))
            for _ in range(400):
                await asyncio.sleep(0.25)
                portal.count()
            await ours

    run_fast(both())

    # 40 of 100 are theirs.
    in_the_middle = [sent for sent, _ in portal.sent if 30 < sent < 90]
    assert 50 <= len(in_the_middle) / 6 <= 60
    assert portal.most_in_a_window(since=20) <= 100


def test_the_first_call_of_an_idle_system_leaves_at_once() -> None:
    async def first() -> float:
        await pacing_of(100).slot()
        return asyncio.get_running_loop().time()

    assert run_fast(first()) == pytest.approx(0, abs=1e-3)


def test_a_lower_quota_in_the_headers_is_kept_and_a_higher_one_is_not() -> None:
    async def learned(maximum: str) -> int:
        rate_limiter = pacing_of(100)
        rate_limiter.observe({"X-HubSpot-RateLimit-Max": maximum, "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"})
        return rate_limiter.quota

    assert run_fast(learned("50")) == 50
    assert {run_fast(learned(maximum)) for maximum in ("190", "0", "many", "\u00b2", "9" * 5000, "")} == {100}


def test_while_paused_no_slot_is_given_out() -> None:
    async def paused() -> float:
        rate_limiter = pacing_of(100)
        rate_limiter.pause(7)
        await rate_limiter.slot()
        return asyncio.get_running_loop().time()

    assert run_fast(paused()) == pytest.approx(7, abs=1e-3)


def test_a_slot_that_is_given_back_costs_nothing() -> None:
    async def used() -> tuple[int, int]:
        rate_limiter = pacing_of(2)
        for _ in range(5):
            (await rate_limiter.slot()).give_back()
        return rate_limiter.used, rate_limiter.daily.remaining

    assert run_fast(used()) == (0, MANY)


def test_once_half_of_the_day_is_spent_the_rest_lasts_until_midnight() -> None:
    # The test's day begins at midnight.
    portal, rate_limiter = Portal(100, 0.05, seed=1), pacing_of(100, daily_limit=2_000)

    run_fast(_backlogged(portal, rate_limiter, until=timedelta(hours=24).total_seconds() - 60))

    fast = [sent for sent, _ in portal.sent[:1_000]]
    slow = [sent for sent, _ in portal.sent[1_000:]]
    assert fast[-1] < 120
    assert 930 <= len(slow) <= 960
    assert max(later - earlier for earlier, later in itertools.pairwise(slow)) < 3 * 86_400 / 960


def test_what_is_lent_is_left_to_the_run_and_comes_back() -> None:
    # A worker with a backlog, and a run that may use what is lent to it.
    portal, worker, run = Portal(100, 0.15, seed=1), pacing_of(100), pacing_of(100)
    run.divide(0.7)

    async def lending() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_backlogged(portal, worker, until=300))
            await asyncio.sleep(100)
            worker.lend(0.7)
            tasks.create_task(_backlogged(portal, run, until=200))
            await asyncio.sleep(100)
            worker.lend(0.0)

    run_fast(lending())

    assert portal.most_in_a_window() <= 100


@pytest.mark.parametrize("begins_at", [31.7, 35.1, 38.5])
def test_what_several_workers_lend_adds_up_to_no_more_than_the_quota(begins_at: float) -> None:
    portal, workers, run = Portal(40, 0.15, seed=1), [pacing_of(40) for _ in range(4)], pacing_of(40)
    for limiter in workers:
        limiter.divide(0.25)

    async def lending() -> None:
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(_backlogged(portal, worker, until=60))
            await asyncio.sleep(begins_at)
            for worker in workers:
                worker.lend(0.3)
            run.divide(0.3)
            tasks.create_task(_backlogged(portal, run, until=60))

    run_fast(lending())

    assert portal.most_in_a_window() <= 40


def test_a_worker_keeps_to_what_it_does_not_lend() -> None:
    portal, rate_limiter = Portal(100, 0.15, seed=1), pacing_of(100)
    rate_limiter.divide(0.5)

    async def lending() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_backlogged(portal, rate_limiter, until=300))
            await asyncio.sleep(100)
            rate_limiter.lend(0.8)
            assert rate_limiter.share == pytest.approx(0.1)
            await asyncio.sleep(100)
            rate_limiter.lend(0.0)

    run_fast(lending())

    calls = [sum(first < sent <= first + 80 for sent, _ in portal.sent) for first in (20, 120, 220)]
    assert 375 <= calls[0] <= 400
    assert 70 <= calls[1] <= 80
    assert 375 <= calls[2] <= 400


def test_lending_the_same_part_again_costs_no_time() -> None:
    async def renewed() -> float:
        rate_limiter = pacing_of(100)
        rate_limiter.lend(0.5)
        await asyncio.sleep(60)
        rate_limiter.lend(0.5)
        before = asyncio.get_running_loop().time()
        await rate_limiter.slot()
        return asyncio.get_running_loop().time() - before

    assert run_fast(renewed()) == pytest.approx(0, abs=1e-3)


def test_what_a_large_loan_made_a_worker_wait_for_is_over_with_the_loan() -> None:
    async def waited() -> list[float]:
        rate_limiter, loop = pacing_of(100), asyncio.get_running_loop()

        async def call() -> None:
            with await rate_limiter.slot():
                pass

        rate_limiter.divide(0.02)
        await call()
        await call()
        rate_limiter.lend(0.9)
        # A call every 51 s by now, and this one waits for the limiter.
        waiting = asyncio.create_task(call())
        await asyncio.sleep(1)
        assert not waiting.done()
        rate_limiter.lend(0.0)
        ended = [loop.time()]
        for calling in (waiting, call(), call()):
            await calling
            ended.append(loop.time())
        return [later - earlier for earlier, later in itertools.pairwise(ended)]

    # A call every 5.1 s again, once the window is over that the first two filled.
    assert max(run_fast(waited())) < WINDOW_S + 5


def test_hubspots_own_word_to_wait_outlives_a_loan() -> None:
    async def waited() -> float:
        rate_limiter = pacing_of(100)
        rate_limiter.pause(30)
        rate_limiter.lend(0.9)
        rate_limiter.lend(0.0)
        await rate_limiter.slot()
        return asyncio.get_running_loop().time()

    assert run_fast(waited()) == pytest.approx(30, abs=1)


def test_headers_with_a_window_that_is_not_hubspots_stop_nobody() -> None:
    async def waited() -> float:
        rate_limiter = pacing_of(100)
        rate_limiter.observe(
            {
                "X-HubSpot-RateLimit-Max": "1",
                "X-HubSpot-RateLimit-Remaining": "0",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "999999999",
            }
        )
        for _ in range(10):
            await rate_limiter.slot()
        return asyncio.get_running_loop().time()

    assert run_fast(waited()) < 2


def test_lending_slows_a_busy_worker_down_and_does_not_stop_it() -> None:
    portal, worker, run = Portal(100, 0.15, seed=2), pacing_of(100), pacing_of(100)
    run.divide(0.3)

    async def lending() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_backlogged(portal, worker, until=130))
            await asyncio.sleep(100)
            alone = len(portal.sent)
            worker.lend(0.3)
            await asyncio.sleep(10)
            sent = [at for at, _ in portal.sent[alone:]]
            assert max(later - earlier for earlier, later in itertools.pairwise([100.0, *sent])) < 0.5
            tasks.create_task(_backlogged(portal, run, until=130))

    run_fast(lending())

    assert portal.most_in_a_window() <= 100
