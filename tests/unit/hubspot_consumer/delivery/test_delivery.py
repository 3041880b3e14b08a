"""Delivery: which call the next slot is for, and what ends it all."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from hubspot_consumer.delivery.blocked import MOST_TRIES
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.destination import DryRun, Slot
from hubspot_consumer.delivery.dispatcher import MOST_LOOK_UPS_PASSED_OVER, Dispatcher
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import LaneWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker, Paused
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, RetryLater
from hubspot_consumer.hubspot.requests import KnownContact, KnownContacts, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import WriteAnswer
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.mapping import MappingFailed
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import SystemClock
from schemas.contacts import ContactKey
from tests.parts import no_receipts, no_resyncs
from tests.polling import eventually
from tests.samples import pending

BLOCKED = RetryLater("403: Sorry, you have been blocked", outage=True, blocked=True)


class CountedSlot(nullcontext[None]):
    def __init__(self, hubspot: "HubSpot") -> None:
        super().__init__()
        self._hubspot = hubspot

    def give_back(self) -> None:
        self._hubspot.given_back += 1


class HubSpot(DryRun):
    """Notes each call with the number of contacts in it; slots are given out by the test."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.slots = asyncio.Semaphore(0)
        self.refusal: Outcome | None = None
        self.unclear = False
        # A contact with which a firewall lets no look-up pass.
        self.blocked = ""
        self.given_back = 0

    async def slot(self) -> Slot:
        await self.slots.acquire()
        return CountedSlot(self)

    async def create(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        return self._answer("create", inputs)

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        return self._answer("upsert", inputs)

    def _answer(self, kind: str, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        self.calls.append((kind, len(inputs)))
        if self.unclear:
            return WriteAnswer(unclear=list(inputs))
        return WriteAnswer(outcomes={one.trace_id: self.refusal or Delivered("1") for one in inputs})

    async def known_contacts(  # type: ignore[override]
        self,
        keys: Sequence[ContactKey],
        slot: WaitForSlot,  # noqa: ARG002
    ) -> KnownContacts | RetryLater:
        self.calls.append(("look-up", len(keys)))
        if self.blocked in keys:
            return BLOCKED
        return dict.fromkeys(keys, KnownContact("1", 6))

    async def send(self, entries: Sequence[TimelineEntry]) -> None:
        """Take them."""


class DeadLetters:
    """Keeps what is set aside: its reason, and its detail."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, str]] = []

    async def put(self, _record: Record, reason: str, detail: str, _attempts: int) -> None:
        self.letters.append((reason, detail))


class Suppressed(set[ContactKey]):
    def contains(self, key: ContactKey) -> bool:
        return key in self


class Bench:
    """A delivery over lanes that the test fills."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.finished: list[int] = []
        self.hubspot, self.lanes, self.lease, self.omissions = (
            HubSpot(),
            Lanes(clock),
            Lease(clock),
            UnwritableProperties(),
        )
        self.halt = CircuitBreaker(clock, resumed=self.lanes.stop_backing_off)
        # As long as a test takes on a busy machine.
        self.lease.renew(clock.monotonic() + 600)
        self.dead_letters, self.suppressed, lag = DeadLetters(), Suppressed(), cast("Any", None)
        receipts = no_receipts(clock)
        rejections = Rejections(100, cast("Any", self.dead_letters), self.halt, clock, receipts)
        self.timeline = Timeline(self.lanes, self.hubspot, rejections, self.lease, self.halt)
        self.writer = LaneWriter(
            lanes=self.lanes,
            destination=self.hubspot,
            contacts=ContactWriter(self.hubspot, self.omissions, self.halt),
            timeline=self.timeline,
            rejections=rejections,
            suppressions=cast("Any", self.suppressed),
            moves=ContactMoves(self.lanes, self.hubspot, lag, clock),
            lease=self.lease,
            breaker=self.halt,
            clock=clock,
            telemetry=Telemetry(),
            jitter=random.Random(1),
            receipts=receipts,
            resyncs=no_resyncs(clock),
        )
        self.delivery = Dispatcher(self.lanes, self.hubspot, self.writer, self.halt, self.lease)

    def add(self, contacts: int, sequence: int, name: str = "c") -> None:
        for number in range(contacts):
            key = f"{name}{number}@example.com"
            self.lanes.add(ContactKey(key), pending(sequence, lambda: self.finished.append(sequence), key))
        self.delivery.notify()

    async def next_call(self) -> tuple[str, int]:
        number = len(self.hubspot.calls)
        self.hubspot.slots.release()

        async def made() -> bool:
            return len(self.hubspot.calls) > number

        await eventually(made, within_s=5, saying="a call is made")
        return self.hubspot.calls[number]


@pytest.fixture
async def bench() -> Any:
    bench = Bench()
    running = asyncio.create_task(bench.delivery.run())
    yield bench
    running.cancel()
    await asyncio.wait({running})


async def test_what_can_fill_a_call_goes_before_what_can_not(bench: Bench) -> None:
    bench.add(150, 1, "new")
    bench.add(3, 7, "old")

    calls = [await bench.next_call() for _ in range(4)]

    assert calls == [("create", 100), ("create", 50), ("look-up", 3), ("upsert", 3)]


async def test_a_first_event_that_can_not_be_mapped_is_set_aside_when_hubspot_has_told_how_far_its_contact_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyError) as raised:
        dict[str, int]()["amount"]

    def fails(_event: object) -> object:
        raise MappingFailed("nova_earned", raised.value)

    monkeypatch.setattr("hubspot_consumer.ordering.pending.map_event", fails)
    bench.add(1, 1)
    bench.hubspot.slots.release()

    assert await bench.next_call() == ("look-up", 1)

    async def set_aside() -> bool:
        return bench.finished == [1]

    bench.hubspot.slots.release()
    await eventually(set_aside, within_s=5, saying="the event is a dead letter")
    assert [reason for reason, _ in bench.dead_letters.letters] == ["mapping_failed"]
    assert bench.hubspot.calls == [("look-up", 1)]


async def test_a_look_up_gives_way_while_others_fill_calls_and_comes_in_the_end(bench: Bench) -> None:
    bench.add(5, 7, "old")
    bench.add(100 * 70, 1, "new")

    calls = [await bench.next_call() for _ in range(66)]

    assert calls.index(("look-up", 5)) == MOST_LOOK_UPS_PASSED_OVER
    assert set(calls) == {("create", 100), ("look-up", 5)}


async def test_without_a_backlog_nobody_waits_for_more_than_two_calls_of_others(bench: Bench) -> None:
    bench.add(5, 7, "old")

    calls = []
    for number in range(3):
        bench.add(20, 1, f"new{number}.")
        calls.append(await bench.next_call())

    assert calls == [("create", 20), ("create", 20), ("look-up", 5)]


async def test_a_worker_that_is_not_sure_of_its_partitions_calls_nobody_until_it_is(bench: Bench) -> None:
    bench.add(1, 1)
    assert await bench.next_call() == ("create", 1)
    bench.lease.renew(-100.0)
    bench.add(1, 2)
    bench.hubspot.slots.release()

    async def given_back() -> bool:
        return bench.hubspot.given_back == 1

    await eventually(given_back, within_s=5, saying="the slot is given back")
    assert bench.hubspot.calls == [("create", 1)]
    bench.lease.renew(bench.lease.now())
    assert await bench.next_call() == ("upsert", 1)


async def test_halves_of_a_call_that_wait_longer_than_the_lease_are_not_written(bench: Bench) -> None:
    bench.add(2, 7)
    await bench.next_call()
    bench.hubspot.unclear = True
    assert await bench.next_call() == ("upsert", 2)
    bench.lease.renew(-100.0)
    bench.hubspot.slots.release()
    bench.hubspot.slots.release()

    async def backing_off() -> bool:
        return bench.lanes.backing_off == 2

    await eventually(backing_off, within_s=5, saying="the contacts back off")
    assert bench.hubspot.calls == [("look-up", 2), ("upsert", 2)]


async def test_halves_of_a_refused_call_are_not_written_once_their_contacts_went_to_another_worker(
    bench: Bench,
) -> None:
    bench.add(4, 7)
    await bench.next_call()
    bench.hubspot.unclear = True
    assert await bench.next_call() == ("upsert", 4)
    bench.hubspot.unclear = False
    assert await bench.next_call() == ("upsert", 2)
    bench.lanes.forget()
    bench.hubspot.slots.release()

    async def ended() -> bool:
        return not bench.delivery.calls_in_flight

    await eventually(ended, within_s=5, saying="the call ends")
    assert bench.hubspot.calls == [("look-up", 4), ("upsert", 4), ("upsert", 2)]
    assert not [number for number in range(4) if ContactKey(f"c{number}@example.com") in bench.lanes.in_flight]


@pytest.mark.parametrize("lost", ["lease", "partitions"])
async def test_what_a_worker_lost_before_the_call_is_not_created(lost: str) -> None:
    """Moves take time, in which another worker may give the contact yet another email."""
    bench = Bench()
    bench.add(2, 1)
    updates = bench.lanes.take_new(2)
    if lost == "lease":
        bench.lease.renew(-100.0)
    else:
        bench.lanes.forget()

    await bench.writer.create(updates, CountedSlot(bench.hubspot))

    assert (bench.hubspot.calls, bench.hubspot.given_back) == ([], 1)
    assert bench.lanes.backing_off == (2 if lost == "lease" else 0)
    assert ContactKey("c0@example.com") not in bench.lanes.in_flight


async def test_failures_in_a_row_halt_and_the_first_answer_lets_everybody_try_again(bench: Bench) -> None:
    bench.hubspot.refusal = RetryLater("503", outage=True)
    for contact in range(5):
        bench.add(1, 1, f"c{contact}")
        await bench.next_call()

    assert bench.halt.halted is not None
    assert bench.halt.halted.reason == "hubspot_unavailable"
    bench.hubspot.refusal = None
    assert await bench.next_call() == ("create", 1)
    assert await bench.next_call() == ("create", 4)
    assert bench.halt.halted is None


async def test_a_fault_of_ours_is_raised_even_while_sending_is_halted(bench: Bench) -> None:
    bench.halt.trip(Halt("token_refused", "401"))
    bench.add(1, 1)

    bench.delivery.fail(ValueError("a bug"))

    with pytest.raises(ValueError, match="a bug"):
        await asyncio.wait_for(bench.delivery.failed(), 5)


@pytest.mark.parametrize("turns", range(5))
async def test_it_ends_when_it_is_told_to_though_something_comes_at_the_same_moment(turns: int) -> None:
    bench = Bench()
    # Somebody waits for a time, so that delivery does too.
    bench.lanes.wake = lambda: 60.0  # type: ignore[method-assign]
    running = asyncio.create_task(bench.delivery.run())
    await asyncio.sleep(0.01)

    bench.delivery.notify()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=1)

    assert done
    assert running.cancelled()


async def test_delivery_is_busy_as_long_as_anything_can_go_out_look_ups_too(bench: Bench) -> None:
    assert not bench.delivery.busy
    bench.add(1, 7)
    assert bench.delivery.busy

    assert await bench.next_call() == ("look-up", 1)
    assert bench.delivery.busy
    assert await bench.next_call() == ("upsert", 1)

    async def idle() -> bool:
        return not bench.delivery.busy

    assert await eventually(idle, within_s=5, saying="nothing is left to send")


async def test_while_sending_is_halted_what_waits_is_no_reason_to_be_busy(bench: Bench) -> None:
    bench.halt.trip(Halt("token_refused", "revoked"))
    bench.add(1, 1)

    assert not bench.delivery.busy


async def test_what_waited_for_its_slot_when_somebody_paused_does_not_go_out_before_they_resume(bench: Bench) -> None:
    bench.add(1, 1)

    async def waits_for_a_slot() -> bool:
        return bench.hubspot.slots.locked() and bool(bench.hubspot.slots._waiters)

    await eventually(waits_for_a_slot, within_s=5, saying="it waits for a slot")
    bench.halt.pause(Paused(datetime(2026, 11, 24, tzinfo=UTC), "", "an import runs"))
    bench.hubspot.slots.release()

    async def given_back() -> bool:
        return bench.hubspot.given_back == 1

    await eventually(given_back, within_s=5, saying="the slot is given back")
    assert bench.hubspot.calls == []
    assert not bench.delivery.busy, "whoever stops it does not wait for what is paused"
    bench.halt.resume()

    assert await bench.next_call() == ("create", 1)


async def test_a_look_up_that_a_firewall_blocks_for_one_contact_stops_no_other(bench: Bench) -> None:
    bench.hubspot.blocked, bench.hubspot.slots = "c3@example.com", asyncio.Semaphore(1_000)

    async def look_up() -> None:
        bench.lanes.stop_backing_off()
        bench.lanes.wake()
        await bench.writer.look_up(bench.lanes.take_unknown(100), await bench.hubspot.slot())

    bench.add(8, 7)
    await look_up()
    assert bench.lanes.ready == 7

    for number in range(2, MOST_TRIES):
        # Others pass meanwhile: without them it would be an outage.
        bench.add(1, 7, f"other{number}-")
        await look_up()
        assert bench.lanes.ready == 7 + number - 1, "the blocked one waits"
    bench.add(1, 7, "last-")
    await look_up()

    assert bench.lanes.ready == 7 + MOST_TRIES - 2 + 2, "its upsert shows whether it can be written"


async def test_look_ups_that_a_firewall_blocks_altogether_are_an_outage(bench: Bench) -> None:
    bench.hubspot.blocked, bench.hubspot.slots = "c0@example.com", asyncio.Semaphore(1_000)
    bench.add(1, 7)

    for _ in range(3 * MOST_TRIES):
        bench.lanes.stop_backing_off()
        bench.lanes.wake()
        await bench.writer.look_up(bench.lanes.take_unknown(100), await bench.hubspot.slot())

    assert bench.halt.halted is not None
    assert bench.lanes.ready == 0
