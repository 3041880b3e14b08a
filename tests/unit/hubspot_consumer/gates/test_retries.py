"""Retries: what is waited for between attempts, and what the halt hears of them."""

import random
from datetime import timedelta

import pytest

from hubspot_consumer.gates.circuit_breaker import FAILURES_OF_OUTAGE, FIRST_PROBE_S, CircuitBreaker
from hubspot_consumer.gates.retries import Retries, wait_s
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from tests.clock import OwnedClock

OUTAGE = RetryLater("HTTP 503", outage=True)
TOKEN_REFUSED = Halt("token_refused", "HTTP 401")
NOT_NOW: list[Refusal] = [RetryLater("HTTP 423"), Rejected("rejected_by_hubspot", "HTTP 400"), TOKEN_REFUSED]


class Bench:
    """Retries, and a HubSpot that refuses what the test says before it answers."""

    def __init__(self, *refusals: Refusal) -> None:
        self.clock = OwnedClock()
        self.halt = CircuitBreaker(self.clock)
        self.retries = Retries(self.halt, self.clock, random.Random(1))
        self._refusals = list(refusals)
        self.asked_at: list[float] = []

    async def ask(self) -> str | Refusal:
        self.asked_at.append(self.clock.monotonic())
        return self._refusals.pop(0) if self._refusals else "yes"


@pytest.mark.parametrize("refusal", NOT_NOW)
async def test_whatever_was_refused_is_asked_again_until_there_is_an_answer(refusal: Refusal) -> None:
    bench = Bench(refusal, refusal)

    assert await bench.retries.until_answered(bench.ask) == "yes"
    assert len(bench.asked_at) == 3
    assert bench.halt.halted is None


async def test_a_halt_is_waited_out_before_the_next_attempt() -> None:
    bench = Bench(TOKEN_REFUSED)

    await bench.retries.until_answered(bench.ask)

    assert bench.asked_at == pytest.approx([0.0, FIRST_PROBE_S])


async def test_an_outage_halts_sending_when_its_answers_are_heard() -> None:
    heard, unheard = Bench(*[OUTAGE] * FAILURES_OF_OUTAGE), Bench(*[OUTAGE] * FAILURES_OF_OUTAGE)
    halted = list[bool]()

    async def ask(bench: Bench) -> str | Refusal:
        halted.append(bench.halt.halted is not None)
        return await bench.ask()

    await heard.retries.until_answered(lambda: ask(heard))
    await unheard.retries.until_done(lambda: ask(unheard))

    assert halted == [False] * FAILURES_OF_OUTAGE + [True] + [False] * (FAILURES_OF_OUTAGE + 1)


def test_no_attempt_comes_before_the_time_that_hubspot_asked_for() -> None:
    asked = RetryLater("HTTP 429", after=timedelta(seconds=10))

    assert 10.25 <= wait_s(asked, 1, random.Random(1)) <= 10.5
    assert 4.0 <= wait_s(OUTAGE, 9, random.Random(1), longest_s=8.0) <= 8.0
