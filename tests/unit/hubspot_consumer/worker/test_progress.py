"""Progress: who has something to finish and finishes nothing is found out, unless it waits for a known reason."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Halt
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.progress import MOST_S, Progress
from runtime.health import Health
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.samples import EMAIL, pending

MINE, ANOTHERS = ("lifecycle.nova_earned", 0), ("lifecycle.nova_earned", 1)
LOOK_EVERY_S = 5.0


class Bench:
    """A worker that holds one of two partitions, each with one event that is not acked."""

    def __init__(self) -> None:
        self.clock, self.health = OwnedClock(), Health()
        self.offsets, self.lanes, self.halt = Offsets(), Lanes(self.clock), CircuitBreaker(self.clock)
        self.offsets.assigned({MINE: 0})
        self.lags = {MINE: 1, ANOTHERS: 1}
        self.delivery = SimpleNamespace(calls_ended=0, calls_in_flight=0)
        self.daily = DailyQuota(1_000, self.clock)
        self.progress = Progress(
            assigned=lambda: [MINE],
            lag=cast("Any", SimpleNamespace(of=lambda topic, number: self.lags.get((topic, number)))),
            offsets=self.offsets,
            lanes=self.lanes,
            delivery=cast("Any", self.delivery),
            breaker=self.halt,
            rate_limiter=RateLimiter(100, 10, self.daily, self.clock),
            health=self.health,
            clock=self.clock,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, looking as often as a worker does."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.advance(LOOK_EVERY_S)
            self.progress.look()

    def finish_one(self) -> None:
        self.offsets.begin(MINE, 0)()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_worker_that_finishes_nothing_of_what_there_is_turns_unwell_and_stuck_after_ten_minutes(bench: Bench) -> None:
    bench.pass_time(MOST_S - 2 * LOOK_EVERY_S)
    assert (bench.health.unwell, bench.progress.stuck) == ({}, None)

    bench.pass_time(3 * LOOK_EVERY_S)

    assert bench.health.unwell == {
        "progress": "no event was finished since 00:00 UTC, although some are waiting: see /v1/status"
    }
    assert bench.progress.stuck == bench.health.unwell["progress"]


def test_it_is_well_again_with_the_first_event_that_it_finishes(bench: Bench) -> None:
    bench.pass_time(2 * MOST_S)
    bench.finish_one()
    bench.pass_time(LOOK_EVERY_S)

    assert (bench.health.unwell, bench.progress.stuck) == ({}, None)


def test_a_worker_that_finishes_something_now_and_then_is_well(bench: Bench) -> None:
    for _ in range(5):
        bench.pass_time(MOST_S - 2 * LOOK_EVERY_S)
        bench.finish_one()

    assert bench.health.unwell == {}


def test_a_worker_with_nothing_to_finish_is_well_whatever_there_is_for_others(bench: Bench) -> None:
    bench.lags[MINE] = 0
    bench.pass_time(2 * MOST_S)

    assert bench.health.unwell == {}


def test_while_sending_is_halted_nothing_need_be_finished_and_the_time_begins_anew_after_it(bench: Bench) -> None:
    bench.halt.trip(Halt("hubspot_unavailable", "503"))
    bench.pass_time(5 * MOST_S)
    bench.halt.record(None)
    bench.pass_time(MOST_S - 2 * LOOK_EVERY_S)
    assert bench.health.unwell == {}

    bench.pass_time(3 * LOOK_EVERY_S)

    assert "progress" in bench.health.unwell


def test_calls_that_come_back_and_finish_nothing_make_it_unwell_and_no_case_for_a_restart(bench: Bench) -> None:
    while bench.clock.monotonic() < 2 * MOST_S:
        bench.delivery.calls_ended += 1
        bench.pass_time(LOOK_EVERY_S)

    assert "progress" in bench.health.unwell
    assert bench.progress.stuck is None


def test_a_wait_that_hubspot_asked_for_makes_it_unwell_and_no_case_for_a_restart(bench: Bench) -> None:
    bench.lanes.add(ContactKey(EMAIL), pending(1, lambda: None))
    [update] = bench.lanes.take_new(1)
    bench.lanes.retry(update, 24 * 3_600)
    bench.pass_time(2 * MOST_S)
    assert "progress" in bench.health.unwell
    assert bench.progress.stuck is None

    # That one could go.
    bench.lanes.add(ContactKey("bob@example.com"), pending(1, lambda: None, email="bob@example.com"))
    bench.pass_time(2 * MOST_S)

    assert bench.progress.stuck is not None


def test_a_wait_for_contacts_that_a_run_holds_is_none(bench: Bench) -> None:
    bench.lanes.hold([ContactKey(EMAIL)])
    bench.lanes.add(ContactKey(EMAIL), pending(1, lambda: None))
    bench.pass_time(2 * MOST_S)
    assert bench.health.unwell == {}

    # Nobody holds that one.
    bench.lanes.add(ContactKey("bob@example.com"), pending(1, lambda: None, email="bob@example.com"))
    bench.pass_time(2 * MOST_S)

    assert "progress" in bench.health.unwell


def test_where_little_is_left_of_the_days_calls_two_of_them_may_take_longer(bench: Bench) -> None:
    # 2 % are kept: one call is left, and 24 hours.
    bench.daily.observe({"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": "21"})
    bench.pass_time(10 * MOST_S)

    assert bench.health.unwell == {}


def test_while_kafka_does_not_answer_nobody_can_tell_and_the_time_begins_anew_after_it(bench: Bench) -> None:
    bench.pass_time(2 * MOST_S)
    bench.progress.cannot_tell()
    assert (bench.health.unwell, bench.progress.stuck) == ({}, None)

    bench.pass_time(MOST_S - 2 * LOOK_EVERY_S)

    assert bench.health.unwell == {}
