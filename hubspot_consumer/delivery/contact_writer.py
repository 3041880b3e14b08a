"""The contact writer: makes the calls that write contacts, for workers and runs, and interprets the answers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hubspot_consumer.delivery.batches import halves
from hubspot_consumer.delivery.blocked import Blocked
from hubspot_consumer.delivery.destination import Destination, Slot
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater, is_blocked
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.results import WriteAnswer

MOST_CONFLICTS: Final = 6


@dataclass(frozen=True)
class Again:
    """The contact was not written, and its next upsert is likely to succeed.

    `conflict`: another writer created the contact at the same time.
    """

    why: str
    conflict: bool = False


@dataclass(frozen=True)
class MayExist:
    """The contact was not created, most likely because it exists."""


NOT_OURS: Final = Again("another worker may have the contact by now")
ANOTHER_EMAIL: Final = Again("the contact is written with another of its emails first")

Guard = Callable[[Upsert], Again | RetryLater | None]
"""Returns the reason why a contact must not be written now, or None."""
_Call = Callable[[Sequence[Upsert]], Awaitable[WriteAnswer[Upsert]]]


class ContactWriter:
    """Writes contacts to *destination*, without the unwritable properties.

    The circuit breaker records every answer, and *count* is called with the outcomes of each.
    """

    def __init__(
        self,
        destination: Destination,
        unwritable: UnwritableProperties,
        breaker: CircuitBreaker,
        count: Callable[[Collection[Outcome]], object] = lambda _outcomes: None,
    ) -> None:
        self._destination = destination
        self._unwritable = unwritable
        self._breaker = breaker
        self._count = count
        self._blocked = Blocked(breaker)

    async def create(self, inputs: Sequence[Upsert], slot: Slot) -> list[tuple[Upsert, Outcome | MayExist]]:
        """Create up to 100 contacts, and return the outcome of each, which is never Rejected."""
        with slot:
            answer = await self._destination.create(self._without_omissions(inputs))
        self._record(answer.outcomes.values())
        for one in inputs:
            if isinstance(answer.outcomes.get(one.trace_id), Delivered):
                self._unwritable.taken(one.properties.keys())
        # The contact of a rejected or unclear input most likely exists. Any other fault shows in its upsert.
        created = {
            name: outcome
            for name, outcome in answer.outcomes.items()
            if not (isinstance(outcome, Rejected) or is_blocked(outcome))
        }
        return [(one, created.get(one.trace_id, MayExist())) for one in inputs]

    async def upsert(
        self, inputs: Sequence[Upsert], slot: Slot, guard: Guard
    ) -> AsyncIterator[tuple[Upsert, Outcome | Again]]:
        """Write up to 100 contacts, and yield the outcome of each, call by call.

        Contacts whose outcome is unclear are written again in halves, each half in its own slot. Contacts that
        HUBSPOT_ID_PROPERTY did not find are found by email, and updated by HubSpot's ids. *guard* is called for each
        contact directly before a call, and a contact with a reason is left out of that call. A slot without a call is
        given back. A yielded Rejected is final.
        """
        async for each in self._write(self._destination.upsert, inputs, slot, guard):
            yield each

    async def update(
        self, inputs: Sequence[Upsert], slot: Slot, guard: Guard
    ) -> AsyncIterator[tuple[Upsert, Outcome | Again]]:
        """Update up to 100 different contacts by HubSpot's ids, in the same way as `upsert`."""
        async for each in self._write(self._destination.update, inputs, slot, guard):
            yield each

    async def _write(
        self, call: _Call, inputs: Sequence[Upsert], slot: Slot, guard: Guard
    ) -> AsyncIterator[tuple[Upsert, Outcome | Again]]:
        inputs = self._without_omissions(inputs)
        # No other task runs between this check and the call: see `kafka/lease.py`.
        outcomes: dict[str, Outcome | Again] = {one.trace_id: why for one in inputs if (why := guard(one)) is not None}
        if allowed := [one for one in inputs if one.trace_id not in outcomes]:
            with slot:
                answer = await call(allowed)
        else:
            slot.give_back()
            answer = WriteAnswer()
        answer = self._blocked.unclear_if_halving_helps(answer, allowed)
        outcomes |= answer.outcomes
        self._record([outcome for outcome in outcomes.values() if not isinstance(outcome, Again)])
        elsewhere = {one.trace_id for one in answer.elsewhere}
        for one in inputs:
            if (outcome := outcomes.get(one.trace_id)) is not None and one.trace_id not in elsewhere:
                yield one, self._meaning(one, outcome)
        if elsewhere:
            async for each in self._write_elsewhere(answer, guard):
                yield each
        for half in filter(None, halves(answer.unclear)):
            async for each in self._write(call, half, await self._destination.slot(), guard):
                yield each

    async def _write_elsewhere(
        self, answer: WriteAnswer[Upsert], guard: Guard
    ) -> AsyncIterator[tuple[Upsert, Outcome | Again]]:
        """Write the contacts that HubSpot has without the value of HUBSPOT_ID_PROPERTY, which they get by that."""
        keys = [one.contact_key for one in answer.elsewhere]
        found = await self._destination.known_contacts(keys, self._destination.slot)
        if isinstance(found, RetryLater | Halt):
            self._breaker.record(found)
        known = found if isinstance(found, dict) else {}
        updates: dict[str, Upsert] = {}
        for one in answer.elsewhere:
            contact = known.get(one.contact_key)
            if contact is None:
                refused = found if isinstance(found, RetryLater | Halt) else answer.outcomes[one.trace_id]
                yield one, self._meaning(one, refused)
            elif contact.contact_id in updates:
                yield one, ANOTHER_EMAIL
            else:
                properties = {**one.properties, **contact.identity}
                updates[contact.contact_id] = replace(one, properties=properties, contact_id=contact.contact_id)
        if updates:
            async for each in self.update(list(updates.values()), await self._destination.slot(), guard):
                yield each

    def _without_omissions(self, inputs: Sequence[Upsert]) -> Sequence[Upsert]:
        return [replace(one, properties=self._unwritable.without(one.properties)) for one in inputs]

    def _record(self, outcomes: Collection[Outcome]) -> None:
        self._count(outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Delivered) and outcome.kept:
                self._unwritable.kept(outcome.kept)
        self._breaker.record_all(outcomes)

    def _meaning(self, upsert: Upsert, outcome: Outcome | Again) -> Outcome | Again:
        if self._blocked.is_final(outcome, upsert.contact_key):
            return Rejected("rejected_by_hubspot", outcome.detail)
        if isinstance(outcome, Delivered):
            self._unwritable.taken(upsert.properties.keys())
        if not isinstance(outcome, Rejected):
            return outcome
        mistyped = self._unwritable.mistyped(outcome.mistyped.intersection(upsert.properties), upsert.contact_key)
        if unwritable := outcome.unwritable.intersection(upsert.properties) | mistyped:
            if (stop_reason := self._unwritable.leave_out(unwritable)) is None:
                return Again(outcome.detail)
            self._breaker.trip(stop_reason)
            return stop_reason
        if outcome.conflict and upsert.attempts < MOST_CONFLICTS:
            return Again(outcome.detail, conflict=True)
        return outcome
