"""The halt: one probe at a time, further and further apart, and open again at the first answer."""

import itertools
from datetime import timedelta

import pytest

from hubspot_consumer.gates.circuit_breaker import (
    FAILURES_OF_OUTAGE,
    LONGEST_PROBE_OF_OUTAGE_S,
    LONGEST_PROBE_S,
    CircuitBreaker,
)
from hubspot_consumer.hubspot.outcomes import Halt, RetryLater
from tests.clock import OwnedClock

REFUSED = Halt("token_refused", "401")
REJECTED = Halt("too_many_dead_letters", "100 within an hour")


async def test_an_open_gate_lets_everything_through_at_once() -> None:
    clock = OwnedClock()

    assert not await CircuitBreaker(clock).until_allowed()
    assert clock.monotonic() == 0


async def test_a_halt_names_its_reason_and_the_next_probe_and_an_answer_ends_it() -> None:
    clock = OwnedClock()
    gate = CircuitBreaker(clock)
    gate.trip(REFUSED)

    assert gate.halted is not None
    assert (gate.halted.reason, gate.halted.detail) == ("token_refused", "401")
    probe_at = gate.halted.next_probe
    assert await gate.until_allowed()
    assert clock.now() == probe_at

    gate.record(None)
    assert gate.halted is None
    assert not await gate.until_allowed()


@pytest.mark.parametrize(
    ("halt", "longest_s"),
    [(REFUSED, LONGEST_PROBE_S), (Halt("hubspot_unavailable", "503"), LONGEST_PROBE_OF_OUTAGE_S)],
)
async def test_probes_come_further_and_further_apart_up_to_a_limit(halt: Halt, longest_s: float) -> None:
    clock = OwnedClock()
    gate = CircuitBreaker(clock)
    times = [0.0]
    gate.trip(halt)
    for _ in range(10):
        assert await gate.until_allowed()
        times.append(clock.monotonic())
        gate.trip(halt)

    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:3] == [2, 4, 8]
    assert waits[-1] == longest_s
    assert gate.halted is not None
    assert gate.halted.since == OwnedClock().now()


async def test_calls_in_flight_that_all_say_the_same_count_once() -> None:
    clock = OwnedClock()
    gate = CircuitBreaker(clock)
    for _ in range(8):
        gate.trip(REFUSED)
    await gate.until_allowed()

    assert clock.monotonic() == 2


async def test_a_halt_until_a_time_probes_then_and_not_before() -> None:
    clock = OwnedClock()
    gate = CircuitBreaker(clock)
    gate.trip(Halt("daily_quota_spent", "0 left"))
    midnight = clock.now() + timedelta(hours=5)
    for _ in range(8):
        gate.trip(Halt("daily_quota_spent", "0 left", midnight))

    assert gate.halted is not None
    assert gate.halted.next_probe == midnight
    assert await gate.until_allowed()
    assert clock.now() == midnight


def test_failures_in_a_row_are_an_outage_and_a_few_among_answers_are_not() -> None:
    gate = CircuitBreaker(OwnedClock())
    for _ in range(10):
        for _ in range(FAILURES_OF_OUTAGE - 1):
            gate.record(RetryLater("503", outage=True))
        gate.record(None)
    assert gate.halted is None

    for _ in range(FAILURES_OF_OUTAGE):
        gate.record(RetryLater("no answer: ReadTimeout", outage=True))

    assert gate.halted is not None
    assert gate.halted.reason == "hubspot_unavailable"
    assert "ReadTimeout" in gate.halted.detail


def test_after_too_many_rejections_it_takes_a_delivery_to_go_on() -> None:
    gate = CircuitBreaker(OwnedClock())
    gate.trip(REJECTED)

    gate.record(None)
    assert gate.halted is not None
    gate.record(None, delivered=True)
    assert gate.halted is None
