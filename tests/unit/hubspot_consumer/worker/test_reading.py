"""Reading: what can't be read is set aside without holding up what can, and is acked when Kafka holds it."""

import asyncio
from typing import Any, cast

import pytest

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.consumer import RecordConsumer
from runtime.clock import SystemClock
from schemas.contacts import ContactKey
from schemas.envelope import Headers
from tests.parts import no_receipts
from tests.polling import eventually
from tests.samples import EMAIL, envelope, record, value

AT_ONCE = 3


class SlowDeadLetters:
    """Holds every dead letter back until it is told to go on; *fault* is raised instead."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go_on = asyncio.Event()
        self.fault: Exception | None = None

    async def put(self, _record: Record, _reason: str, _detail: str, attempts: int) -> None:
        assert attempts == 0
        self.waiting += 1
        await self.go_on.wait()
        if self.fault:
            raise self.fault


class Delivery:
    def __init__(self) -> None:
        self.fault: BaseException | None = None

    def notify(self) -> None:
        """Nobody is to be told."""

    def fail(self, fault: BaseException) -> None:
        self.fault = fault


class Bench:
    def __init__(self) -> None:
        clock = SystemClock()
        self.lanes, self.offsets = Lanes(clock), Offsets()
        self.offsets.assigned({("lifecycle.nova_earned", 0): 0})
        self.dead_letters, self.delivery, self.suppressed = SlowDeadLetters(), Delivery(), set[ContactKey]()
        alignment: Any = type("Alignment", (), {"read": lambda *_: None})()
        suppressions: Any = type("Suppressions", (), {"contains": lambda _, key: key in self.suppressed})()
        self.reading = RecordConsumer(
            lanes=self.lanes,
            delivery=cast("Any", self.delivery),
            offsets=self.offsets,
            alignment=alignment,
            suppressions=suppressions,
            dead_letters=cast("Any", self.dead_letters),
            clock=clock,
            telemetry=Telemetry(),
            receipts=no_receipts(clock),
        )

    async def take(self, offset: int, body: bytes, sequence: int | None = None) -> None:
        headers = Headers("1", "nova_earned", sequence).encode() if sequence else []
        made = record(offset=offset, key=EMAIL.encode(), value=body, headers=headers)
        await self.reading.take(made)

    @property
    def acked(self) -> int:
        """How many records from the first on are acknowledged."""
        return self.offsets.committable().get(("lifecycle.nova_earned", 0), 0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_unreadable_records_are_set_aside_at_once_and_acked_when_each_is_written(bench: Bench) -> None:
    for offset in range(AT_ONCE):
        await bench.take(offset, b"no JSON")

    async def all_waiting() -> bool:
        return bench.dead_letters.waiting == AT_ONCE

    await eventually(all_waiting, within_s=5, saying="all are on their way at once")
    assert bench.acked == 0

    bench.dead_letters.go_on.set()

    async def all_acked() -> bool:
        return bench.acked == 3

    await eventually(all_acked, within_s=5, saying="all are acked")


async def test_one_that_has_a_place_in_a_lane_is_acked_when_it_is_written_and_its_turn_has_come(bench: Bench) -> None:
    await bench.take(0, b"no JSON", sequence=2)
    bench.dead_letters.go_on.set()
    await asyncio.sleep(0.01)
    assert bench.acked == 0

    await bench.take(1, value(envelope(sequence=1)))
    [update] = bench.lanes.take_new(10)
    bench.lanes.finished(update)

    assert bench.acked == 2


async def test_a_fault_of_ours_in_writing_a_dead_letter_ends_delivery_and_acks_nothing(bench: Bench) -> None:
    bench.dead_letters.fault = ValueError("a bug")
    bench.dead_letters.go_on.set()
    await bench.take(0, b"no JSON")

    async def failed() -> bool:
        return isinstance(bench.delivery.fault, ValueError)

    await eventually(failed, within_s=5, saying="delivery is ended")
    assert bench.acked == 0


async def test_events_of_a_suppressed_contact_are_acked_and_go_nowhere(bench: Bench) -> None:
    bench.suppressed.add(ContactKey(EMAIL))

    await bench.take(0, value(envelope(sequence=1)))

    assert (bench.acked, bench.lanes.can_run) == (1, 0)


async def test_once_reading_has_ended_a_record_is_neither_taken_nor_counted_as_read(bench: Bench) -> None:
    await bench.take(0, value(envelope()))
    bench.reading.end()

    taking = asyncio.create_task(bench.take(1, value(envelope())))
    done, _ = await asyncio.wait([taking], timeout=0.3)

    assert not done
    assert (bench.offsets.unfinished, bench.lanes.can_run + bench.lanes.unknown) == (1, 1)
    taking.cancel()


async def test_after_a_revocation_no_record_that_is_still_under_way_is_the_next_of_its_partition(bench: Bench) -> None:
    await bench.take(0, value(envelope()))

    bench.reading.forget()

    assert bench.offsets.next_of(("lifecycle.nova_earned", 0)) is None
    assert (bench.offsets.unfinished, bench.lanes.can_run + bench.lanes.unknown) == (0, 0)
