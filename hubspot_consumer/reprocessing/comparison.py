"""The comparison: what a contact's events come to, beside what HubSpot holds of it.

The audit and the console's contact page both ask here, so that they agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubspot_consumer.history.projection import Projection, Projector
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.hubspot.schema import PROPERTIES
from hubspot_consumer.kafka.records import Offsets
from schemas.contacts import ContactKey, contact_hash, masked

SEQUENCE: Final = "nerava_event_sequence"

Kind = Literal["missing", "stale", "ahead", "empty", "differs"]
"""How a contact differs. In the audit's JSON, so the words are a public contract."""


Verdict = Literal["same", "differs", "empty"]
"""How a property is at HubSpot."""


@dataclass(frozen=True)
class ContactDifference:
    """`missing`: HubSpot has no such contact. `stale` and `ahead`: it was written by an older or a newer event than the
    topics' newest. `empty` and `differs`: one property has no value, or another one.
    """

    contact: ContactKey
    kind: Kind
    name: str = ""
    expected: str = ""
    held: str = ""

    def as_json(self) -> dict[str, Any]:
        who = {"contact": masked(self.contact), "contact_hash": contact_hash(self.contact), "kind": self.kind}
        return {**who, "property": self.name, "expected": self.expected, "held": self.held} if self.name else who


@dataclass(frozen=True)
class Expected:
    """What HubSpot must hold of a contact now. *waiting* is how many of its events take effect later."""

    projection: Projection
    waiting: int


def expected_of(
    projector: Projector,
    key: ContactKey,
    histories: Sequence[Sequence[Stored]],
    contact: RemoteContact | None,
    unfinished: Offsets,
) -> Expected:
    """Return what HubSpot must hold of a contact: what its events come to, up to the one that was applied last.

    That one is too old where the group has finished later events, by *unfinished*: then it is what those come to. The
    last of *histories* is the contact's own, and those before are of its earlier keys; it is no contact without any.
    """
    *earlier, own = histories or [[]]
    finished = (each.sequence for each in own if each.offset < unfinished.get((each.topic, each.partition), 0))
    up_to = max(applied_to(contact), *finished, 0)
    projection = projector.project(key, *earlier, [each for each in own if each.sequence <= up_to])
    return Expected(projection, len({each.sequence for each in own if each.sequence > up_to}))


@dataclass(frozen=True)
class ComparedProperty:
    name: str
    expected: str
    held: str

    @property
    def verdict(self) -> Verdict:
        if same(self.name, self.expected, self.held):
            return "same"
        return "differs" if self.held else "empty"


def compared(projection: Projection, contact: RemoteContact | None) -> list[ComparedProperty]:
    """Return each property that a contact's events set, beside HubSpot's value of it."""
    held = contact.properties if contact is not None else {}
    return [ComparedProperty(name, expected, held.get(name, "")) for name, expected in projection.properties.items()]


def differences(projection: Projection, contact: RemoteContact | None) -> list[ContactDifference]:
    """Return how HubSpot's *contact* differs from what its events come to."""
    if contact is None:
        return [ContactDifference(projection.key, "missing")]
    behind: Kind = "stale" if applied_to(contact) < projection.sequence else "ahead"
    return [
        ContactDifference(
            projection.key, behind if each.name == SEQUENCE else each.verdict, each.name, each.expected, each.held
        )
        for each in compared(projection, contact)
        if each.verdict != "same"
    ]


def applied_to(contact: RemoteContact | None) -> int:
    """Return the sequence of the event that was applied to a contact last; 0 for none."""
    number = _number(contact.properties.get(SEQUENCE, "")) if contact is not None else None
    return int(number or 0)


def same(name: str, expected: str, held: str) -> bool:
    """Return whether HubSpot's value is the one that was written: it has its own ways to write numbers and times."""
    match _TYPES.get(name):
        case "number":
            return _number(expected) == _number(held)
        case "date" | "datetime":
            return _moment(expected) == _moment(held)
        case "bool":
            return expected.lower() == held.lower()
        case _:
            return expected == held


_TYPES: Final = {each.name: each.type for each in PROPERTIES}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
