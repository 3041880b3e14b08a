"""The comparison of a contact's projection with its remote contact.

The audit and the console's contact page both use it, so that they agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hubspot_consumer.history.projection import Projection, Projector
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.bodies import number_in
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, PROPERTIES, SEQUENCE
from hubspot_consumer.kafka.records import Offsets
from schemas.contacts import ContactKey, named
from schemas.times import read_time

Kind = Literal["missing", "stale", "ahead", "empty", "differs"]
"""The kind of a difference. The words are in the audit's JSON, so they are a public contract."""


Verdict = Literal["same", "differs", "empty"]
"""The result of comparing one property."""


@dataclass(frozen=True)
class ContactDifference:
    """One difference of a contact.

    `missing`: HubSpot has no such contact. `stale` and `ahead`: it was last written by an older or a newer event than
    the topics' newest. `empty` and `differs`: one property has no value, or another one.
    """

    contact: ContactKey
    kind: Kind
    name: str = ""
    expected: str = ""
    held: str = ""

    def as_json(self) -> dict[str, Any]:
        who = {**named(self.contact), "kind": self.kind}
        return {**who, "property": self.name, "expected": self.expected, "held": self.held} if self.name else who


@dataclass(frozen=True)
class Expected:
    """The expected state of a remote contact. *waiting* is the number of its events that have yet to take effect."""

    projection: Projection
    waiting: int


def expected_of(
    projector: Projector,
    key: ContactKey,
    histories: Sequence[Sequence[Stored]],
    contact: RemoteContact | None,
    unfinished: Offsets,
) -> Expected:
    """Return the expected state of a remote contact: the projection of its events up to the last applied one.

    If the group has finished later events, by the offsets *unfinished*, these are part of the projection too. The last
    of *histories* is that of the contact's own key, and those before it are of its earlier keys. Without histories, the
    key was replaced by a newer one.
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
    """Return each property of a contact's projection with its expected and its remote value.

    LAST_EVENT_ID is not compared: a portal may lack it, and a worker of an earlier version does not write it.
    """
    remote = contact.properties if contact is not None else {}
    return [
        ComparedProperty(name, expected, remote.get(name, ""))
        for name, expected in projection.properties.items()
        if name != LAST_EVENT_ID
    ]


def differences(projection: Projection, contact: RemoteContact | None) -> list[ContactDifference]:
    """Return the differences between a projection and its remote *contact*."""
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
    """Return the sequence of the event that was applied last to a remote contact; 0 for none."""
    return int(number_in(contact.properties.get(SEQUENCE, "")) or 0) if contact is not None else 0


def same(name: str, expected: str, remote: str) -> bool:
    """Return whether the remote value is the expected one: HubSpot has its own formats, for example of numbers."""
    match _TYPES.get(name):
        case "number":
            return _number(expected) == _number(remote)
        case "date" | "datetime":
            return _moment(expected) == _moment(remote)
        case "bool":
            return expected.lower() == remote.lower()
        case _:
            return expected == remote


_TYPES: Final = {each.name: each.type for each in PROPERTIES}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: str) -> float | None:
    moment = read_time(text)
    return None if moment is None else moment.timestamp()
