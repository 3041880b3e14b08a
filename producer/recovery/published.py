"""What Kafka has: of each contact the sequence and totals of its newest event, and which parked events."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from schemas.contacts import LONGEST_EMAIL, ContactKey
from schemas.envelope import LARGEST, Headers, Totals
from schemas.texts import read_object

# The contact keys that the outbox's function gives. Its table can't hold longer ones.
_A_KEY: Final = re.compile(rf"[^\s\x00]{{1,{LONGEST_EMAIL}}}@[^\s@\x00]+")


class Contact(NamedTuple):
    """A contact's sequence, and its totals by name, in cents."""

    sequence: int
    totals: Mapping[str, int]

    def raised_to(self, other: Self) -> "Contact":
        """Return the higher sequence, and of each total the higher one."""
        higher = {name: value for name, value in other.totals.items() if value > (self.totals.get(name) or 0)}
        return Contact(max(self.sequence, other.sequence), {**self.totals, **higher})


class Waiting(NamedTuple):
    """The contact key and sequence of a row that is to be published."""

    key: str
    sequence: int


@dataclass
class Published:
    """What was published. `waiting` has the rows to be published that Kafka does not have, by event id.

    `parked` has the ids of parked events, and `parked_too` those of them that Kafka has. They would be tracked a second
    time.
    """

    waiting: dict[str, Waiting]
    parked: Collection[str] = frozenset()
    parked_too: set[str] = field(default_factory=set)
    contacts: dict[ContactKey, Contact] = field(default_factory=dict)

    @property
    def reusing(self) -> Iterable[str]:
        """The ids of rows to be published whose sequence other events of the contact have, or later ones."""
        for event_id, row in self.waiting.items():
            newest = self.contacts.get(ContactKey(row.key))
            if newest is not None and row.sequence <= newest.sequence:
                yield event_id

    def add(self, record: Any) -> None:
        """Add one of aiokafka's records. No content of a record raises an error."""
        headers = Headers.decode(record.headers)
        self.waiting.pop(headers.id, None)
        if headers.id in self.parked:
            self.parked_too.add(headers.id)
        if (found := _newest(record, headers)) is None:
            return
        key, contact = found
        known = self.contacts.get(key)
        if known is None or contact.sequence > known.sequence:
            # An event that can't be read has no totals.
            self.contacts[key] = Contact(contact.sequence, {**(known.totals if known else {}), **contact.totals})
        elif contact.sequence == known.sequence:
            self.contacts[key] = known.raised_to(contact)


def _newest(record: Any, headers: Headers) -> tuple[ContactKey, Contact] | None:
    """Return a record's contact key, sequence and totals; None for one that has no contact or no sequence."""
    try:
        key = (record.key or b"").decode()
    except ValueError:
        return None
    told = read_object(record.value)
    sequences = [one for one in (headers.sequence, told.get("sequence")) if _counts(one) and one]
    if not sequences or len(key) > LONGEST_EMAIL or not _A_KEY.fullmatch(key):
        return None
    totals = totals if isinstance(totals := told.get("totals"), dict) else {}
    sums = {name: totals[name] for name in Totals.model_fields if _counts(totals.get(name))}
    return ContactKey(key), Contact(max(sequences), sums)


def _counts(value: object) -> bool:
    # A contact with the largest sequence could have no further event.
    return type(value) is int and 0 <= value < LARGEST
