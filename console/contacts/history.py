"""The history: the events of a contact and their states, from the index and the outbox."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Final, TypeVar

from console.contacts.extract import Extract, IndexedEvent, tracked_at
from console.contacts.outbox import OutboxContact, Unpublished
from console.contacts.traced import Hole, State, TracedEvent
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.kafka.records import Partition, Place
from schemas.contacts import ContactKey
from schemas.deliveries import Receipt

Numbered = TypeVar("Numbered", IndexedEvent, Receipt)
EVENTS_ON_A_PAGE: Final = 50
LATEST: Final = 2**62


@dataclass(frozen=True)
class History:
    """One page of a history, in order of sequence; `before` is the bound of the page before it, if there is one."""

    key: ContactKey
    items: Sequence[TracedEvent | Hole]
    unnumbered: Sequence[TracedEvent] = ()
    before: int | None = None
    newest: bool = True

    @property
    def events(self) -> list[TracedEvent]:
        return [*(each for each in self.items if isinstance(each, TracedEvent)), *self.unnumbered]

    @property
    def contact_id(self) -> str | None:
        """HubSpot's id of the contact, from the newest receipt that has one."""
        return next((each.contact_id for each in reversed(self.events) if each.contact_id), None)


@dataclass(frozen=True)
class Historian:
    """Builds histories. *acked* is the group's committed offset by partition; None if it is unknown."""

    extract: Extract
    acked: Mapping[Partition, int] | None

    def history(
        self,
        key: ContactKey,
        before: int = LATEST,
        known: OutboxContact | None = None,
        unpublished: Sequence[Unpublished] = (),
        most: int = EVENTS_ON_A_PAGE,
    ) -> History:
        """Return the newest *most* events of a contact's history below the sequence *before*.

        *known* and *unpublished* come from the outbox, if it was read.
        """
        numbers = self.extract.sequences(key, before, most + 1)
        waiting = {each.sequence: each for each in unpublished}
        ordered = sorted({*numbers, *waiting}, reverse=True)
        page, more = ordered[:most], len(ordered) > most
        newest = before == LATEST or before > max(known.sequence if known is not None else 0, self._last(key))
        found = self._numbered(key, page[::-1], waiting) if page else []
        last = max(known.sequence if known is not None and newest else 0, *page, 0)
        first = ordered[most] + 1 if more else 1
        items = _with_holes(found, first, last, whole=not more)
        return History(
            key,
            items=list(_waiting_behind(items)),
            unnumbered=self._unnumbered(key) if newest else (),
            before=min(page) if more else None,
            newest=newest,
        )

    def _last(self, key: ContactKey) -> int:
        return max(self.extract.sequences(key, LATEST, 1), default=0)

    def _numbered(self, key: ContactKey, page: Sequence[int], waiting: Mapping[int, Unpublished]) -> list[TracedEvent]:
        letters = [*self.extract.letters(key, page[0], page[-1]), *self._unnumbered_letters(key)]
        records = _by_sequence(self.extract.events(key, page[0], page[-1]))
        receipts = _by_sequence(self.extract.receipts(key, page[0], page[-1]))
        return [
            self._happened(number, records.get(number, []), receipts.get(number, []), letters, waiting.get(number))
            for number in page
        ]

    def _unnumbered_letters(self, key: ContactKey) -> list[Letter]:
        return self.extract.unnumbered_letters(key, 2 * EVENTS_ON_A_PAGE)

    def _unnumbered(self, key: ContactKey) -> list[TracedEvent]:
        letters = self._unnumbered_letters(key)
        receipts = self.extract.unnumbered_receipts(key, EVENTS_ON_A_PAGE)
        return [
            self._happened(None, [record], [each for each in receipts if _is_of(each, record)], letters, None)
            for record in self.extract.unnumbered(key, EVENTS_ON_A_PAGE)
        ]

    def _happened(
        self,
        sequence: int | None,
        copies: Sequence[IndexedEvent],
        receipts: Sequence[Receipt],
        letters: Sequence[Letter],
        unpublished: Unpublished | None,
    ) -> TracedEvent:
        record = copies[0] if copies else None
        receipt = receipts[-1] if receipts else None
        places = {*(each.place for each in copies), *((each.topic, each.partition, each.offset) for each in receipts)}
        letter = next((each for each in letters if _is_about(each, sequence, places)), None)
        event_type, event_id = self._type_and_id(record, unpublished, receipt, letter)
        return TracedEvent(
            type=event_type,
            id=event_id,
            sequence=sequence,
            state=self._state(copies, receipt, letter),
            committed_at=tracked_at(event_id) if record or unpublished is None else unpublished.committed_at,
            record=record,
            unpublished=unpublished,
            receipts=receipts,
            letter=letter,
            copies=max(1, len(copies)),
        )

    def _type_and_id(
        self,
        record: IndexedEvent | None,
        unpublished: Unpublished | None,
        receipt: Receipt | None,
        letter: Letter | None,
    ) -> tuple[str, str]:
        if record is not None:
            return record.topic.removeprefix(self.extract.topics.prefix), record.id
        if unpublished is not None:
            return unpublished.type, unpublished.id
        if receipt is not None:
            return receipt.type, receipt.event_id or ""
        return (letter.event_type, letter.event_id) if letter is not None else ("", "")

    def _state(self, copies: Sequence[IndexedEvent], receipt: Receipt | None, letter: Letter | None) -> State:
        if letter is not None:
            if letter.state in ("redriven", "discarded"):
                return "redriven" if letter.state == "redriven" else "discarded"
            # A run may have delivered the event, but not yet have recorded the resolution of the dead letter.
            if receipt is None or receipt.outcome != "delivered" or receipt.at < letter.failed_at:
                return "dead_letter"
        if receipt is not None:
            return "dead_letter" if receipt.outcome == "dead_lettered" else receipt.outcome
        if not copies:
            return "outbox"
        if self.acked is None:
            return "unknown"
        acked = [each.offset < self.acked.get((each.topic, each.partition), 0) for each in copies]
        return "acked" if all(acked) else "waiting"


def _with_holes(found: Sequence[TracedEvent], first: int, last: int, *, whole: bool) -> list[TracedEvent | Hole]:
    """Return *found* with the holes between *first* and *last*. *whole*: nothing precedes *found*."""
    items, expected, begun = list[TracedEvent | Hole](), first, not whole
    for each in found:
        sequence = each.sequence or 0
        if sequence > expected:
            items.append(Hole(expected, sequence - 1, before_all=not begun))
        items.append(each)
        expected, begun = sequence + 1, True
    if last >= expected:
        items.append(Hole(expected, last, before_all=not begun))
    return items


def _waiting_behind(items: Iterable[TracedEvent | Hole]) -> Iterable[TracedEvent | Hole]:
    """Yield *items*, with `behind` set on each waiting event that waits for an earlier sequence."""
    blocked: str | None = None
    for each in items:
        if isinstance(each, Hole):
            if not each.before_all:
                blocked = blocked or f"{each.first}, which is missing"
            yield each
        elif each.state in ("outbox", "waiting"):
            yield replace(each, behind=blocked)
            where = "in the outbox" if each.state == "outbox" else "waiting too"
            blocked = blocked or f"{each.sequence}, which is {where}"
        else:
            if each.state in ("delivered", "suppressed", "acked"):
                # A worker has gone past whatever came before.
                blocked = None
            yield each


def _by_sequence(found: Sequence[Numbered]) -> dict[int, list[Numbered]]:
    return {number: list(each) for number, each in groupby(found, key=attrgetter("sequence"))}


def _is_of(receipt: Receipt, record: IndexedEvent) -> bool:
    return (receipt.topic, receipt.partition, receipt.offset) == record.place


def _is_about(letter: Letter, sequence: int | None, places: Collection[Place]) -> bool:
    if letter.places and places:
        return not letter.places.isdisjoint(places)
    # A dead letter of the relay or Debezium has no original record, and may outlive the records of its sequence.
    return sequence is not None and letter.sequence == sequence
