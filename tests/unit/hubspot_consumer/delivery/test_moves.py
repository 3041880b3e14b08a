"""Moves beside holds: what happens to a contact under its new email happens to the contact of the previous one."""

import asyncio
from contextlib import nullcontext
from typing import Any, cast

from aiokafka import TopicPartition

from hubspot_consumer.delivery.destination import Turn
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import UNSURE, RetryLater
from hubspot_consumer.hubspot.requests import KnownContact, KnownContacts
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.ordering.pending import Pending
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from tests.clock import OwnedClock
from tests.lane_bench import ADA, GRACE
from tests.samples import PAYLOADS, envelope, record, value


class HubSpot:
    """Holds the previous contact, and answers a move when it is told to."""

    def __init__(self) -> None:
        self.moved: list[tuple[str, ContactKey]] = []
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def slot(self) -> Any:
        return nullcontext()

    async def known_contacts(self, _keys: list[ContactKey], slot: WaitForSlot) -> KnownContacts:
        with await slot():
            self.asked.set()
            await self.answer.wait()
        return {ADA: KnownContact("1", 3)}

    async def move(self, contact_id: str, key: ContactKey) -> None:
        self.moved.append((contact_id, key))


def ours() -> None:
    """Return None: no other worker has the contact."""


def turn_at(hubspot: HubSpot) -> Turn:
    return Turn(cast("Any", hubspot), cast("Any", nullcontext()))


class Lag:
    """What the group has finished, in the partitions of the previous key; all that came before, unless told otherwise.

    `searched` are the ends after the previous key's own events, None if there is too much to search.
    """

    def __init__(self, number: int = 7, **ends: int) -> None:
        self._number = number
        self._ends = {TopicPartition(topic, number): end for topic, end in ends.items()}
        self.unfinished: dict[TopicPartition, int] = {}
        self.searched: dict[TopicPartition, int] | None = None
        self.searches = 0

    def number_of(self, _key: ContactKey) -> int:
        return self._number

    async def ends_of(self, _number: int) -> dict[TopicPartition, int]:
        return self._ends

    async def ends_of_contact(self, _key: ContactKey, _ends: Any) -> dict[TopicPartition, int] | None:
        self.searches += 1
        return self.searched

    async def finished(self, ends: dict[TopicPartition, int]) -> bool:
        return all(end <= self.unfinished.get(partition, 0) for partition, end in ends.items())


def fold_of_a_move(lanes: Lanes, offset: int = 0) -> ContactUpdate:
    payload = PAYLOADS["merchant_contact_updated"] | {"email": GRACE, "previous_email": ADA}
    made = read_envelope(GRACE.encode(), value(envelope("merchant_contact_updated", 1, GRACE, payload=payload)))
    lanes.add(GRACE, Pending(1, made, record("updates", offset=offset), lambda: None))
    [update] = lanes.take_new(1)
    return update


async def test_a_contact_that_is_held_is_moved_when_it_is_released() -> None:
    clock, hubspot = OwnedClock(), HubSpot()
    lanes = Lanes(clock)
    moves, update = ContactMoves(lanes, cast("Any", hubspot), cast("Any", Lag()), clock), fold_of_a_move(lanes)
    hubspot.answer.set()
    lanes.hold([ADA])
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)
    assert hubspot.moved == []

    lanes.release(ADA)

    assert await moves.before(update, turn_at(hubspot), ours) is None
    assert hubspot.moved == [("1", GRACE)]


class SlotOfOne(nullcontext[None]):
    """The only slot: it is free again after its call, or when it is given back."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        super().__init__()
        self._free = free

    def __exit__(self, *_: object) -> None:
        self._free.release()

    def give_back(self) -> None:
        self._free.release()


async def test_where_the_quota_leaves_one_call_at_a_time_a_contact_is_moved_before_it_is_written() -> None:
    clock, hubspot, free = OwnedClock(), HubSpot(), asyncio.Semaphore(1)
    lanes = Lanes(clock)

    async def slot() -> SlotOfOne:
        await free.acquire()
        return SlotOfOne(free)

    hubspot.slot = slot  # type: ignore[method-assign]
    hubspot.answer.set()
    moves, update = ContactMoves(lanes, cast("Any", hubspot), cast("Any", Lag()), clock), fold_of_a_move(lanes)
    turn = Turn(cast("Any", hubspot), await slot())

    async with asyncio.timeout(5):
        assert await moves.before(update, turn, ours) is None
        with await turn.slot():
            assert free.locked(), "the call that writes the contact has a slot"

    assert hubspot.moved == [("1", GRACE)]
    assert not free.locked()


async def test_a_turn_without_a_call_gives_its_slot_back_once() -> None:
    free = asyncio.Semaphore(0)
    turn = Turn(cast("Any", HubSpot()), cast("Any", SlotOfOne(free)))

    turn.give_back()
    turn.give_back()

    assert free._value == 1


async def test_a_contact_that_is_being_moved_is_in_a_call() -> None:
    clock, hubspot = OwnedClock(), HubSpot()
    lanes = Lanes(clock)
    moves, update = ContactMoves(lanes, cast("Any", hubspot), cast("Any", Lag()), clock), fold_of_a_move(lanes)
    moving = asyncio.create_task(moves.before(update, turn_at(hubspot), ours))
    await hubspot.asked.wait()
    assert ADA in lanes.in_flight

    hubspot.answer.set()
    await moving

    assert ADA not in lanes.in_flight
    assert hubspot.moved == [("1", GRACE)]


def moving(lag: Lag, offset: int = 0) -> tuple[ContactMoves, ContactUpdate, OwnedClock, HubSpot]:
    clock, hubspot = OwnedClock(), HubSpot()
    hubspot.answer.set()
    lanes = Lanes(clock)
    moves = ContactMoves(lanes, cast("Any", hubspot), cast("Any", lag), clock)
    return moves, fold_of_a_move(lanes, offset), clock, hubspot


async def test_a_move_waits_for_the_events_of_the_previous_email_alone_where_few_are_unfinished() -> None:
    """Others in their partitions may be moves that wait for this one."""
    lag = Lag(created=9)
    moves, update, _, hubspot = moving(lag)
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)

    lag.searched = {TopicPartition("created", 7): 5}
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)
    lag.unfinished = {TopicPartition("created", 7): 5}

    assert await moves.before(update, turn_at(hubspot), ours) is None
    assert hubspot.moved == [("1", GRACE)]
    assert lag.searches == 2, "what was searched is not searched again"


async def test_a_move_needs_no_event_of_the_previous_email_to_be_unfinished() -> None:
    lag = Lag(created=9)
    moves, update, _, hubspot = moving(lag)
    lag.searched = {}

    assert await moves.before(update, turn_at(hubspot), ours) is None


async def test_in_its_own_partitions_a_move_waits_until_the_events_before_it_are_acked() -> None:
    """Another worker would read them again, and create the contact of the previous email."""
    lag = Lag(0, updates=9, created=2)
    moves, update, clock, hubspot = moving(lag, offset=4)
    lag.unfinished = {TopicPartition("updates", 0): 3, TopicPartition("created", 0): 2}
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)
    clock.advance(6)
    assert isinstance(await moves.before(update, turn_at(hubspot), ours), RetryLater)

    lag.unfinished[TopicPartition("updates", 0)] = 4

    assert await moves.before(update, turn_at(hubspot), ours) is None


async def test_a_worker_that_lost_its_partitions_during_the_look_up_moves_nobody() -> None:
    """The contact may have yet another email by then."""
    moves, update, _, hubspot = moving(Lag())
    free = asyncio.Semaphore(0)
    turn = Turn(cast("Any", hubspot), cast("Any", nullcontext()))
    hubspot.slot = lambda: _slot(free)  # type: ignore[method-assign]

    assert await moves.before(update, turn, lambda: "lost") == UNSURE

    assert hubspot.moved == []
    assert not free.locked(), "the slot is given back"


async def _slot(free: asyncio.Semaphore) -> SlotOfOne:
    return SlotOfOne(free)
