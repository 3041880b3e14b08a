"""A source says what is so now, and nothing once nobody vouches for it."""

from dataclasses import dataclass

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from console.overview.source import REMEMBERED_S, STALE_AFTER_S, Source
from tests.clock import OwnedClock


@dataclass
class Counter:
    """Counts, until it is told to fail."""

    count: float = 0.0
    fault: Exception | None = None

    async def ask(self) -> float:
        if self.fault is not None:
            raise self.fault
        return self.count


def as_it_is(count: float) -> float:
    return count


async def test_an_answer_is_told_until_it_is_overdue() -> None:
    clock, counter = OwnedClock(), Counter(7)
    source = Source("counter", counter.ask, clock)
    assert (source.answer, source.trouble) == (None, "not asked yet")

    await source.look()
    assert (source.answer, source.trouble) == (7, None)

    clock.advance(STALE_AFTER_S)
    assert source.answer == 7
    clock.advance(0.1)
    assert source.answer is None
    assert source.trouble == "does not answer in time"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (TimeoutError(), "does not answer in time"),
        (httpx.ReadTimeout("slow"), "does not answer in time"),
        (httpx.ConnectError("no"), "can't be reached"),
        (KafkaConnectionError(), "can't be read (KafkaConnectionError)"),
        (ValueError("odd"), "can't be read (ValueError)"),
    ],
)
async def test_a_source_that_fails_says_why_and_nothing_of_before(fault: Exception, words: str) -> None:
    clock, counter = OwnedClock(), Counter(7)
    source = Source("counter", counter.ask, clock)
    await source.look()
    answered_at = clock.now()
    clock.advance(2)

    counter.fault = fault
    await source.look()

    assert (source.answer, source.trouble, source.answered_at) == (None, words, answered_at)
    assert source.rate(as_it_is) is None


async def test_a_rate_is_of_the_last_seconds_and_unknown_after_a_restart() -> None:
    clock, counter = OwnedClock(), Counter(1_000)
    source = Source("counter", counter.ask, clock)
    for rise in (0, *[4] * 20, *[40] * 6):
        counter.count += rise
        await source.look()
        clock.advance(2)

    assert source.rate(as_it_is) == pytest.approx(20)
    assert source.increase(as_it_is, REMEMBERED_S) == pytest.approx(320)

    counter.count = 3
    await source.look()
    assert source.rate(as_it_is) is None


@given(rises=st.lists(st.floats(0, 1e6), min_size=2, max_size=60), every_s=st.floats(0.5, 5))
async def test_a_rate_is_never_outside_of_what_the_steps_were(rises: list[float], every_s: float) -> None:
    clock, counter = OwnedClock(), Counter()
    source = Source("counter", counter.ask, clock)
    for rise in rises:
        counter.count += rise
        await source.look()
        clock.advance(every_s)

    rate = source.rate(as_it_is)
    assert rate is not None
    assert min(rises) / every_s * (1 - 1e-6) - 1e-6 <= rate <= max(rises) / every_s * (1 + 1e-6) + 1e-6
