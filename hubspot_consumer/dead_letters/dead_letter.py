"""A dead letter of the catalogue: an event that was set aside, once or several times, and its resolution."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, Final, NamedTuple

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.resolutions import OPEN, DeadAgain, Discarded, Mended, Resolution, Resolutions, State
from hubspot_consumer.kafka.records import Place
from schemas.contacts import ContactKey, contact_key
from schemas.dead_letters import PREFIX
from schemas.envelope import Headers
from schemas.texts import LONGEST_KEPT, LONGEST_NAME
from schemas.times import moment_of, read_time
from schemas.topics import Topics

_A_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
# Reasons for which the contact was written all the same: only the entry on its timeline is missing.
IN_EFFECT_ALL_THE_SAME: Final = frozenset({"timeline_entry_rejected"})


class SetAside(NamedTuple):
    """One record of the dead letters' topic, without its value.

    Defaults for missing headers: empty text, None for the sequence, -1 for partition and offset, 0 for attempts, and
    the record's own time for `failed_at_ms`. `key` and `at_ms` are the record's.
    """

    partition: int
    offset: int
    at_ms: int
    key: bytes | None
    has_value: bool
    event_id: str
    event_type: str
    sequence: int | None
    reason: str
    detail: str
    topic: str
    topic_partition: int
    topic_offset: int
    attempts: int
    failed_at_ms: int

    @property
    def id(self) -> str:
        return f"{self.partition}-{self.offset}"

    @property
    def failed_at(self) -> datetime:
        return moment_of(self.failed_at_ms / 1000)

    @property
    def place(self) -> Place | None:
        """The event's record; None for dead letters of the relay and of Debezium, whose events never were records."""
        if not self.topic or self.topic_partition < 0 or self.topic_offset < 0:
            return None
        return (self.topic, self.topic_partition, self.topic_offset)

    @property
    def event(self) -> tuple[Any, ...]:
        """The identity of the event: its id, or else its record, with the key; or else the dead letter's own place.

        The key is a part of it because hand-made records may share ids. Records of the same event have the same
        identity: a worker that took over sets an event aside again, and the relay may have sent it twice.
        """
        if self.event_id:
            return (self.event_id, self.key)
        return (*self.place, self.key) if self.place is not None else (self.partition, self.offset)


def read_set_aside(record: Any, topics: Topics) -> SetAside:
    """Return the content of one of aiokafka's records, with texts of bounded length. Never raises, because hand-made
    records may have any headers. Texts that many records have in common are shared by them.
    """
    text = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    ours = {name.removeprefix(PREFIX): value for name, value in text.items() if name.startswith(PREFIX)}
    topic = intern(_name(ours.get("topic", "")))
    return SetAside(
        partition=record.partition,
        offset=record.offset,
        at_ms=record.timestamp,
        key=record.key,
        has_value=record.value is not None,
        event_id=_name(text.get("id", "")),
        event_type=intern(
            _name(text.get("type", "")) or (topic.removeprefix(topics.prefix) if topic in topics.events else "")
        ),
        sequence=Headers.decode(record.headers).sequence,
        reason=intern(ours.get("reason", "")[:LONGEST_NAME]),
        detail=intern(ours.get("detail", "")[:LONGEST_KEPT]),
        topic=topic,
        topic_partition=_number(ours.get("partition", ""), -1),
        topic_offset=_number(ours.get("offset", ""), -1),
        attempts=_number(ours.get("attempts", ""), 0),
        failed_at_ms=_moment_ms(ours.get("failed_at", ""), record.timestamp),
    )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: the *records* of one event, oldest first, and its newest *resolution* if that covers all of them.

    *mend* is the correction with which the event is read, on its own topic too. It stays when the event is set aside
    again after the correction.
    """

    records: tuple[SetAside, ...]
    resolution: Resolution | None = None
    mend: Correction | None = None

    @property
    def id(self) -> str:
        """The id of the first record, which stays the same when the event is set aside again."""
        return self.records[0].id

    def begun(self) -> tuple[int, int, int]:
        """Return when it was first set aside, for ordering: the time in ms, then the place."""
        first = self.records[0]
        return (first.at_ms, first.partition, first.offset)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(record.id for record in self.records)

    @property
    def newest(self) -> SetAside:
        return self.records[-1]

    @property
    def holder(self) -> SetAside:
        """The newest record that has a value, or else the newest. A value that did not fit in the record is missing."""
        return next((record for record in reversed(self.records) if record.has_value), self.newest)

    @property
    def key(self) -> bytes | None:
        return self.newest.key

    @property
    def contact(self) -> ContactKey | None:
        """The contact of the event; None if the key names no contact."""
        try:
            return contact_key((self.key or b"").decode())
        except ValueError:
            return None

    @property
    def event_id(self) -> str:
        return self.newest.event_id

    @property
    def event_type(self) -> str:
        return self.newest.event_type

    @property
    def sequence(self) -> int | None:
        return self.newest.sequence

    @property
    def places(self) -> frozenset[Place]:
        """The records of the event on its own topic, all copies."""
        return frozenset(record.place for record in self.records if record.place is not None)

    @property
    def state(self) -> State:
        return self.resolution.state if self.resolution is not None else "dead"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def _refusal(self) -> "DeadAgain | Mended | SetAside":
        return self.resolution if isinstance(self.resolution, DeadAgain | Mended) else self.newest

    @property
    def reason(self) -> str:
        return self._refusal.reason

    @property
    def detail(self) -> str:
        return self._refusal.detail

    @property
    def attempts(self) -> int:
        return self._refusal.attempts

    @property
    def note(self) -> str:
        """The reason why it was discarded or corrected; empty without one."""
        if isinstance(self.resolution, Discarded):
            return self.resolution.note
        return self.mend.note if self.mend is not None else ""

    @property
    def failed_at(self) -> datetime:
        """The time of the newest refusal; the record's own time if no header has it."""
        refusal = self._refusal
        return refusal.at if isinstance(refusal, DeadAgain) else refusal.failed_at

    @property
    def is_reused(self) -> bool:
        """Whether the event was set aside because another event has its sequence."""
        return any(record.reason == "sequence_reused" for record in self.records)

    @property
    def in_effect(self) -> bool:
        """Whether the contact was written with the event's properties all the same."""
        return self.state == "redriven" or self.reason in IN_EFFECT_ALL_THE_SAME


@dataclass(frozen=True)
class LetterFilter:
    """A selection of dead letters: by default, all open ones."""

    reasons: frozenset[str] = frozenset()
    event_types: frozenset[str] = frozenset()
    contact: ContactKey | None = None
    states: frozenset[State] = field(default=OPEN)
    since: datetime | None = None
    until: datetime | None = None
    ids: frozenset[str] = frozenset()

    def takes(self, letter: Letter) -> bool:
        return (
            letter.state in self.states
            and (not self.ids or not self.ids.isdisjoint(letter.ids))
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.event_types or letter.event_type in self.event_types)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at <= self.until)
            and (self.contact is None or letter.contact == self.contact)
        )


def dead_letters_of(records: Iterable[SetAside], resolutions: Resolutions) -> list[Letter]:
    """Return a dead letter for each event that *records* are of, in the order of the events' first records.

    A record without a resolution makes it open again, because it came after the resolution of the others.
    """
    events = defaultdict[tuple[Any, ...], list[SetAside]](list)
    for record in records:
        events[record.event].append(record)
    return [letter_of(each, resolutions) for each in events.values()]


def letter_of(records: Iterable[SetAside], resolutions: Resolutions) -> Letter:
    """Return the dead letter of one event's *records*, in any order."""
    ordered = tuple(sorted(records, key=lambda record: (record.at_ms, record.partition, record.offset)))
    found = [resolutions.of(record.id, record.at_ms) for record in ordered]
    resolved = [each for each in found if each is not None]
    if not resolved:
        return Letter(ordered)
    newest = max(resolved, key=lambda each: each.offset).resolution
    mend = None if isinstance(newest, Discarded) else newest.mend
    return Letter(ordered, newest if len(resolved) == len(found) else None, mend)


def places_of(letters: Iterable[Letter]) -> frozenset[Place]:
    """Return the events' records of all *letters*."""
    return frozenset(place for letter in letters for place in letter.places)


def _name(text: str) -> str:
    """Return *text*; nothing if it is longer than any id, type or topic."""
    return text if len(text) <= LONGEST_NAME else ""


def _number(text: str, otherwise: int) -> int:
    return int(text) if _A_NUMBER.fullmatch(text) else otherwise


def _moment_ms(text: str, otherwise: int) -> int:
    moment = read_time(text)
    return otherwise if moment is None else round(moment.timestamp() * 1000)
