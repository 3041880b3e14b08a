"""The timeline: one entry for each event of a written contact, in a form that the portal takes.

Entries are custom events where the portal's tier and the token's scopes allow it. HubSpot stores only the first custom
event of a uuid, so an entry that may exist is sent again. Otherwise entries are notes: HubSpot stores every copy, so a
note that may exist is looked up first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar, assert_never

from hubspot_consumer.delivery.batches import calls_of, halves
from hubspot_consumer.delivery.blocked import Blocked
from hubspot_consumer.delivery.destination import Destination
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import UNSURE, Delivered, Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import (
    MOST_CONTACTS_OF_NOTES,
    MOST_NOTES,
    MOST_TIMELINE_ENTRIES,
    Note,
    TimelineEntry,
)
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.pending import Pending
from runtime.logs import log

# Of up to 500 notes of each contact. No list of notes has so many.
MOST_PAGES_OF_NOTES: Final = 500

Answer = TypeVar("Answer")

TimelineMode = Literal["custom_events", "notes", "off"]

# By mode: the mode to use if the portal refuses it.
_INSTEAD: Final[Mapping[TimelineMode, TimelineMode]] = {"custom_events": "notes", "notes": "off"}


class TimelineItem(NamedTuple):
    """An event of a written update, and its timeline entry."""

    update: ContactUpdate
    event: Pending
    entry: TimelineEntry


def timeline_items(updates: Iterable[ContactUpdate]) -> list[TimelineItem]:
    """Return the entries of written updates, each contact's in order of sequence, without those that HubSpot rejected.

    Raises MappingFailed.
    """
    return [
        TimelineItem(
            update,
            event,
            TimelineEntry(
                uuid=str(envelope.id),
                event_type=envelope.type,
                contact_key=update.lane.key,
                contact_id=update.lane.contact_id,
                occurred_at=envelope.occurred_at,
                properties=event.mapped.entry,
                records=[event.record],
            ),
        )
        for update in updates
        for event in update.events
        if (envelope := event.envelope) is not None and event not in update.set_aside
    ]


class Owner(Protocol):
    def owns(self, update: ContactUpdate) -> bool:
        """Return whether this worker may still write the contact of an update."""


class Right(Protocol):
    @property
    def valid(self) -> bool:
        """Whether no other worker can have been assigned this worker's partitions."""


class Refusals(Protocol):
    async def reject(self, update: ContactUpdate, event: Pending, rejection: Rejected) -> Halt | None:
        """Write an event whose entry was rejected to the dead letters; return the halt if there are too many."""


class Timeline:
    """Sends entries in the form of `mode`. If `automatic`, the next mode takes over when the portal refuses one."""

    def __init__(
        self, lanes: Owner, destination: Destination, rejections: Refusals, lease: Right, breaker: CircuitBreaker
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._rejections = rejections
        self._lease = lease
        self._breaker = breaker
        self._blocked = Blocked(breaker)
        # This is the mode of a dry run; `Portal.choose` sets the mode of a live worker.
        self.mode: TimelineMode = "custom_events"
        self.automatic = False
        # The mode was changed by the refusal of one call; `Portal.choose`, which asks the portal, sets it to False.
        self.in_doubt = False
        # Entries of written contacts that no form of entry was left for. `replay --timeline` can send them later.
        self.left_out = 0

    async def leave(self, updates: Sequence[ContactUpdate]) -> Mapping[ContactUpdate, Refusal]:
        """Send the entries of written *updates*, each contact's in order; return the refusals by update."""
        refused: dict[ContactUpdate, Refusal] = {}
        match self.mode:
            case "off":
                if self.automatic:
                    self.left_out += sum(len(update.events) - len(update.set_aside) for update in updates)
                return refused
            case "custom_events":
                items, most, send = timeline_items(updates), MOST_TIMELINE_ENTRIES, self._send
            case "notes":
                items, refused = await self._missing_notes(updates)
                most, send = MOST_NOTES, self._note
            case _:
                assert_never(self.mode)
        for together in calls_of(items, most):
            # The order of a contact's entries is kept: the entries after a refused one wait with it.
            refused |= await send(_without(together, refused))
        return refused

    async def _send(self, items: Sequence[TimelineItem]) -> dict[ContactUpdate, Refusal]:
        """Return the refusals by update; an entry that is rejected for good becomes a dead letter and is no refusal."""
        if not items:
            return {}
        refusal = self._or_instead("custom_events", await self._destination.send([item.entry for item in items]))
        if len(items) == 1 and self._blocked.is_final(refusal, items[0].entry.uuid):
            refusal = Rejected("timeline_entry_rejected", refusal.detail)
        if self._blocked.is_worth_halving(refusal, len(items)):
            first, second = halves(items)
            refused = await self._send(first)
            return refused | await self._send(_without(second, refused))
        match refusal:
            case None:
                self._breaker.record(None)
                return {}
            case RetryLater() | Halt():
                self._breaker.record(refusal)
                return {item.update: refusal for item in items}
            case Rejected():
                return await self._reject(items[0], refusal)
            case _:
                assert_never(refusal)

    async def _missing_notes(
        self, updates: Sequence[ContactUpdate]
    ) -> tuple[list[TimelineItem], dict[ContactUpdate, Refusal]]:
        """Return the items without a note, and the refusals of updates for which it is not known."""
        refused: dict[ContactUpdate, Refusal] = {}
        repeated = [update for update in updates if update.repeated]
        noted = await self._noted_events({update.lane.contact_id for update in repeated if update.lane.contact_id})
        if isinstance(noted, RetryLater | Halt):
            self._breaker.record(noted)
            refused, noted = dict.fromkeys(repeated, noted), set()
        items = [
            item
            for item in _without(timeline_items(updates), refused)
            # A contact without an id was never written (its event is a dead letter), and a note needs a contact.
            if item.entry.contact_id and not (item.update.repeated and item.entry.uuid in noted)
        ]
        return items, refused

    async def _note(self, items: Sequence[TimelineItem]) -> dict[ContactUpdate, Refusal]:
        slot = await self._destination.slot()
        # During the wait for the slot, another worker may have been assigned the partitions.
        owned = [item for item in items if self._lanes.owns(item.update)]
        if not owned:
            slot.give_back()
            return {}
        by_trace_id = {f"{position}:{item.entry.uuid}": item for position, item in enumerate(owned)}
        with slot:
            # No other task runs between this check and the call: see `kafka/lease.py`.
            if not self._lease.valid:
                return dict.fromkeys((item.update for item in items), UNSURE)
            notes = [Note(trace, item.entry) for trace, item in by_trace_id.items()]
            answer = self._blocked.unclear_if_halving_helps(await self._destination.note(notes), notes)
        refused: dict[ContactUpdate, Refusal] = {}
        outcomes = {trace_id: self._or_instead("notes", outcome) for trace_id, outcome in answer.outcomes.items()}
        self._breaker.record_all(outcomes.values())
        for trace_id, outcome in outcomes.items():
            item = by_trace_id[trace_id]
            match outcome:
                case Delivered():
                    pass
                case RetryLater() if len(owned) == 1 and self._blocked.is_final(outcome, item.entry.uuid):
                    refused |= await self._reject(item, Rejected("timeline_entry_rejected", outcome.detail))
                case RetryLater() | Halt():
                    refused[item.update] = outcome
                case Rejected():
                    refused |= await self._reject(item, outcome)
                case _:
                    assert_never(outcome)
        for half in filter(None, halves(answer.unclear)):
            refused |= await self._note(_without([by_trace_id[note.trace_id] for note in half], refused))
        return refused

    async def _noted_events(self, contact_ids: Collection[str]) -> set[str] | RetryLater | Halt:
        """Return the ids of the events that have a note on one of these contacts."""
        note_ids, most = list[str](), MOST_CONTACTS_OF_NOTES
        asked: list[tuple[str, str | None]] = [(contact_id, None) for contact_id in sorted(contact_ids)]
        for _ in range(MOST_PAGES_OF_NOTES):
            if not asked:
                break
            page = await self._destination.notes_of_contacts(asked[:most])
            if isinstance(page, RetryLater) and page.too_large and most > 1:
                most //= 2
                continue
            if isinstance(page, RetryLater | Halt | Rejected):
                return _not_now(page)
            note_ids += page.note_ids
            asked = asked[most:] + list(page.more)
        else:
            return RetryLater("HubSpot's list of notes has no end")
        events: set[str] = set()
        for together in calls_of(note_ids, MOST_NOTES):
            with await self._destination.slot():
                found = await self._destination.noted_events(together)
            if isinstance(found, RetryLater | Halt | Rejected):
                return _not_now(found)
            events |= found
        return events

    def _or_instead(self, mode: TimelineMode, outcome: Answer) -> Answer | RetryLater:
        """Return *outcome*; if the portal takes no entries of *mode*, switch to the next mode and return RetryLater."""
        if not (self.automatic and isinstance(outcome, Halt) and outcome.reason == "scope_missing"):
            return outcome
        if self.mode == mode:
            self.mode, self.in_doubt = _INSTEAD[mode], True
            log.warning(
                "timeline.mode", mode=self.mode, before=mode, why=outcome.detail, correlation_id=outcome.correlation_id
            )
        return RetryLater(f"the portal does not take {mode}: {outcome.detail}")

    async def _reject(self, item: TimelineItem, rejection: Rejected) -> dict[ContactUpdate, Refusal]:
        reason = Rejected("timeline_entry_rejected", rejection.detail)
        halt = await self._rejections.reject(item.update, item.event, reason)
        return {item.update: halt} if halt is not None else {}


def _without(items: Sequence[TimelineItem], refused: Collection[ContactUpdate]) -> list[TimelineItem]:
    return [item for item in items if item.update not in refused]


def _not_now(refusal: Refusal) -> RetryLater | Halt:
    # A rejected read is no fault of an event, and sending without its result could duplicate notes.
    return RetryLater(refusal.detail) if isinstance(refusal, Rejected) else refusal
