"""Pacing: never more calls in a window than the quota, wherever HubSpot counts them, and hardly fewer."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_consumer.hubspot.pacing import Pacing
from tests.clock import FastLoop, LoopClock

T = TypeVar("T")
WINDOW_S = 10.0


def run_fast(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(work)


async def calls(pacing: Pacing, number: int, at_once: int, latency_s: float, seed: int) -> list[tuple[float, float]]:
    """Make *number* calls as fast as the pacing lets; return when each was sent and when it was answered."""
    jitter, loop, made = random.Random(seed), asyncio.get_running_loop(), list[tuple[float, float]]()
    may_call = asyncio.Semaphore(at_once)

    async def call() -> None:
        async with may_call:
            with await pacing.slot():
                sent = loop.time()
                await asyncio.sleep(latency_s * jitter.random())
                made.append((sent, loop.time()))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(call())
    return made


def most_in_a_window(made: list[tuple[float, float]]) -> int:
    """Return the most calls that HubSpot can have counted in a window: each anywhere between sending and answer."""
    # The window that ends with a call's sending holds the calls sent before and answered after it began.
    return max(
        sum(sent <= end and answered > end - WINDOW_S for sent, answered in made) for end in (sent for sent, _ in made)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0, 12), st.integers(1, 16), st.integers())
def test_no_window_ever_holds_more_calls_than_the_quota(quota: int, latency_s: float, at_once: int, seed: int) -> None:
    made = run_fast(_paced(quota, 4 * quota, at_once, latency_s, seed))

    assert most_in_a_window(made) <= quota


@pytest.mark.parametrize("quota", [100, 190])
def test_a_backlog_uses_almost_all_of_the_quota_at_300_ms_a_call(quota: int) -> None:
    made = run_fast(_paced(quota, 20 * quota, 8, 0.3, seed=1))

    duration_s = max(answered for _, answered in made)
    assert len(made) / duration_s >= 0.95 * quota / WINDOW_S


async def _paced(quota: int, number: int, at_once: int, latency_s: float, seed: int) -> list[tuple[float, float]]:
    return await calls(Pacing(quota, WINDOW_S, LoopClock()), number, at_once, latency_s, seed)


def test_the_first_call_of_an_idle_system_leaves_at_once() -> None:
    async def first() -> float:
        await Pacing(100, WINDOW_S, LoopClock()).slot()
        return asyncio.get_running_loop().time()

    assert run_fast(first()) == pytest.approx(0, abs=1e-3)


def test_a_lower_quota_in_the_headers_is_kept_and_a_higher_one_is_not() -> None:
    async def learned(maximum: str) -> int:
        pacing = Pacing(100, WINDOW_S, LoopClock())
        pacing.observe({"X-HubSpot-RateLimit-Max": maximum, "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"})
        return pacing.quota

    assert run_fast(learned("50")) == 50
    assert {run_fast(learned(maximum)) for maximum in ("190", "0", "many", "\u00b2", "9" * 5000, "")} == {100}


def test_while_paused_no_slot_is_given_out() -> None:
    async def paused() -> float:
        pacing = Pacing(100, WINDOW_S, LoopClock())
        pacing.pause(7)
        await pacing.slot()
        return asyncio.get_running_loop().time()

    assert run_fast(paused()) == pytest.approx(7, abs=1e-3)


def test_a_slot_that_is_given_back_costs_nothing() -> None:
    async def used() -> int:
        pacing = Pacing(2, WINDOW_S, LoopClock())
        for _ in range(5):
            (await pacing.slot()).give_back()
        return pacing.used

    assert run_fast(used()) == 0
