"""Moves beside holds: what happens to a contact under its new email happens to the contact of the previous one."""

import asyncio
from contextlib import nullcontext
from typing import Any, cast

from hubspot_consumer.delivery.destination import Turn
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import RetryLater
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


def turn_at(hubspot: HubSpot) -> Turn:
    return Turn(cast("Any", hubspot), cast("Any", nullcontext()))


class Lag:
    """All that came before is finished."""

    def number_of(self, _key: ContactKey) -> int:
        return 7

    async def ends_of(self, _number: int) -> dict[Any, int]:
        return {}

    async def finished(self, _ends: dict[Any, int]) -> bool:
        return True


def fold_of_a_move(lanes: Lanes) -> ContactUpdate:
    payload = PAYLOADS["merchant_contact_updated"] | {"email": GRACE, "previous_email": ADA}
    made = read_envelope(GRACE.encode(), value(envelope("merchant_contact_updated", 1, GRACE, payload=payload)))
    lanes.add(GRACE, Pending(1, made, record(), lambda: None))
    [update] = lanes.take_new(1)
    return update


async def test_a_contact_that_is_held_is_moved_when_it_is_released() -> None:
    clock, hubspot = OwnedClock(), HubSpot()
    lanes = Lanes(clock)
    moves, update = ContactMoves(lanes, cast("Any", hubspot), cast("Any", Lag()), clock), fold_of_a_move(lanes)
    hubspot.answer.set()
    lanes.hold([ADA])
    assert isinstance(await moves.before(update, turn_at(hubspot)), RetryLater)
    assert hubspot.moved == []

    lanes.release(ADA)

    assert await moves.before(update, turn_at(hubspot)) is None
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
        assert await moves.before(update, turn) is None
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
    moving = asyncio.create_task(moves.before(update, turn_at(hubspot)))
    await hubspot.asked.wait()
    assert ADA in lanes.in_flight

    hubspot.answer.set()
    await moving

    assert ADA not in lanes.in_flight
    assert hubspot.moved == [("1", GRACE)]
