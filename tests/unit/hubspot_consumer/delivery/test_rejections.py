"""The limit of rejections: a share of an hour's events, and never less than a number."""

from typing import Any, cast

from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker, Paused
from hubspot_consumer.hubspot.outcomes import Halt, Rejected
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.ordering.lane import ContactUpdate, Lane
from hubspot_consumer.ordering.pending import Pending
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.parts import no_receipts
from tests.samples import pending

NO = Rejected("rejected_by_hubspot", "400 VALIDATION_ERROR")


class DeadLetters:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def put(self, _record: Record, reason: str, _detail: str, _attempts: int) -> None:
        self.reasons.append(reason)


class Bench:
    def __init__(self) -> None:
        self.clock, self.dead_letters = OwnedClock(), DeadLetters()
        self.contacts = 0
        self.halt = CircuitBreaker(self.clock)
        self.rejections = Rejections(
            100, cast("Any", self.dead_letters), self.halt, self.clock, no_receipts(self.clock)
        )

    async def reject(self, number: int, contacts: int | None = None) -> Halt | None:
        """Return what the last of them was answered. Each has a contact of its own, or they share *contacts*."""
        event: Pending = pending(1, lambda: None)
        answer = None
        for each in range(number):
            self.contacts += 1 if contacts is None else 0
            name = self.contacts if contacts is None else -(each % contacts)
            update = ContactUpdate(Lane(ContactKey(f"c{name}@example.com")), [event])
            answer = await self.rejections.reject(update, event, NO)
        return answer


async def test_a_hundred_of_few_events_are_set_aside_and_the_next_one_halts() -> None:
    bench = Bench()
    bench.rejections.delivered(5_000)

    assert await bench.reject(100) is None
    halt = await bench.reject(1)

    assert halt is not None
    assert halt.reason == "too_many_dead_letters"
    assert bench.halt.halted is not None
    assert bench.dead_letters.reasons == ["rejected_by_hubspot"] * 100


async def test_a_contact_that_is_refused_again_and_again_counts_once() -> None:
    bench = Bench()

    assert await bench.reject(1_000, contacts=3) is None
    assert bench.rejections.last_hour == 3
    assert len(bench.dead_letters.reasons) == 1_000
    assert await bench.reject(97) is None
    assert await bench.reject(1) is not None


async def test_one_in_a_hundred_of_many_events_is_too_many() -> None:
    bench = Bench()
    bench.rejections.delivered(99_000)

    assert await bench.reject(1_000) is None
    assert await bench.reject(1) is not None


async def test_what_is_over_an_hour_old_does_not_count() -> None:
    bench = Bench()
    await bench.reject(60)
    bench.clock.advance(1_800)
    await bench.reject(40)
    assert bench.rejections.too_many

    bench.clock.advance(1_801)

    assert not bench.rejections.too_many
    assert bench.rejections.last_hour == 40


async def test_after_a_pause_of_people_as_many_again_are_set_aside_without_a_delivery() -> None:
    bench = Bench()
    await bench.reject(101)
    bench.clock.advance(600)
    bench.halt.pause(Paused(bench.clock.now(), "ada", "recovered"))
    assert await bench.reject(1) is not None

    bench.halt.resume()

    assert bench.halt.halted is None
    assert await bench.reject(100) is None
    assert await bench.reject(1) is not None


async def test_the_halt_names_the_reason_for_which_the_next_event_would_be_set_aside() -> None:
    bench = Bench()

    halt = await bench.reject(101)

    assert halt is not None
    assert halt.detail == "100 events rejected within an hour; and now rejected_by_hubspot: 400 VALIDATION_ERROR"
