"""The comparison: what a contact's events come to, beside what HubSpot holds of it."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubspot_consumer.history.projection import Refold
from hubspot_consumer.hubspot.requests import HeldContact
from hubspot_consumer.hubspot.schema import PROPERTIES
from schemas.contacts import ContactKey, contact_hash, masked

SEQUENCE: Final = "nerava_event_sequence"

Kind = Literal["missing", "stale", "ahead", "empty", "differs"]
"""How a contact differs. In the audit's JSON, so the words are a public contract."""


@dataclass(frozen=True)
class Difference:
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


def differences(refold: Refold, contact: HeldContact | None) -> list[Difference]:
    """Return how HubSpot's *contact* differs from what its events come to."""
    key = refold.key
    if contact is None:
        return [Difference(key, "missing")]
    found = []
    applied = applied_to(contact)
    if applied != refold.sequence:
        kind: Kind = "stale" if applied < refold.sequence else "ahead"
        found.append(Difference(key, kind, SEQUENCE, str(refold.sequence), contact.properties.get(SEQUENCE, "")))
    for name, expected in refold.properties.items():
        held = contact.properties.get(name, "")
        if name != SEQUENCE and not same(name, expected, held):
            found.append(Difference(key, "differs" if held else "empty", name, expected, held))
    return found


def applied_to(contact: HeldContact | None) -> int:
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
