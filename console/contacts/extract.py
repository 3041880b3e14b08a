"""The extract: reads the data of one contact from a snapshot of the index."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

from console.contacts.index import Index
from console.contacts.index_rows import headers_from, unpacked
from hubspot_consumer.dead_letters.dead_letter import Letter, SetAside, dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import Resolutions
from hubspot_consumer.history.store import Stored
from hubspot_consumer.kafka.records import Place
from schemas.contacts import ContactKey
from schemas.deliveries import Receipt
from schemas.envelope import LARGEST, time_of
from schemas.times import moment_of
from schemas.topics import Topics

_COLUMNS: Final = "partitions.topic, partitions.number, offset, at_ms, key, sequence, events.id, external_id, value"
_EVENTS: Final = f"SELECT {_COLUMNS} FROM events JOIN partitions ON partitions.id = events.partition"  # noqa: S608 - constants
_RECEIPTS: Final = "SELECT value FROM receipts"
_LETTERS: Final = (
    "SELECT partitions.number, offset, at_ms, has_value, headers FROM letters"
    " JOIN partitions ON partitions.id = letters.partition"
)
_NUMBERED: Final = "WHERE key = ? AND sequence BETWEEN ? AND ? ORDER BY sequence"
_UNNUMBERED: Final = "WHERE key = ? AND sequence IS NULL"
_OF_CONTACTS: Final = ("events", "receipts", "letters")
# SQLite merges the sequences of the tables in order, and stops at the limit.
_SEQUENCES: Final = (
    " UNION ".join(f"SELECT sequence FROM {table} WHERE key = ? AND sequence < ?" for table in _OF_CONTACTS)  # noqa: S608 - constants
    + " ORDER BY sequence DESC LIMIT ?"
)
_MOVES: Final = "SELECT min(at_ms), previous, key FROM events WHERE previous IS NOT NULL AND"
_MOVES_TO: Final = f"{_MOVES} key = ? GROUP BY previous, key"
_MOVES_FROM: Final = f"{_MOVES} previous = ? GROUP BY previous, key"


@dataclass(frozen=True)
class IndexedEvent:
    """A record of an event. `sequence` is None, and `id` empty, if the record has no readable one."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: ContactKey
    sequence: int | None
    id: str
    external_id: str | None
    packed: bytes

    @property
    def place(self) -> Place:
        return (self.topic, self.partition, self.offset)

    @property
    def published_at(self) -> datetime:
        return moment_of(self.at_ms / 1000)

    @cached_property
    def value(self) -> bytes:
        return unpacked(self.packed)


class Extract:
    """Every query uses an index of the database, so its time does not depend on other contacts' events."""

    def __init__(self, connection: sqlite3.Connection, topics: Topics) -> None:
        self._connection: Final = connection
        self.topics: Final = topics

    @classmethod
    @contextmanager
    def of(cls, index: Index, topics: Topics) -> Iterator["Extract"]:
        """Yield an extract of the index as it is now. Raises IndexAway."""
        with index.reading() as connection:
            yield cls(connection, topics)

    def knows(self, key: str) -> bool:
        """Return whether the index has an event, receipt or dead letter of a contact."""
        queries = (f"SELECT 1 FROM {table} WHERE key = ? LIMIT 1" for table in _OF_CONTACTS)  # noqa: S608 - constants
        return any(self._rows(query, key) for query in queries)

    def contacts_of(self, external_id: str, most: int) -> list[ContactKey]:
        """Return at most *most* contacts that have an event with this external id."""
        query = "SELECT DISTINCT key FROM events WHERE external_id = ? ORDER BY key LIMIT ?"
        return [ContactKey(key) for (key,) in self._rows(query, external_id, most)]

    def moves(self, key: str) -> list[tuple[int, ContactKey, ContactKey]]:
        """Return the email changes that a key is part of: the time in ms of the first event, the old and new key."""
        return [
            (at_ms, ContactKey(previous), ContactKey(after))
            for at_ms, previous, after in self._rows(f"{_MOVES_TO} UNION ALL {_MOVES_FROM}", key, key)
        ]

    def sequences(self, key: str, before: int, most: int) -> list[int]:
        """Return the newest *most* sequences of a contact below *before*, the newest first."""
        return [sequence for (sequence,) in self._rows(_SEQUENCES, *(key, before) * len(_OF_CONTACTS), most)]

    def events(self, key: str, first: int = 0, last: int = LARGEST) -> list[IndexedEvent]:
        """Return a contact's events by sequence; an event that was published twice appears twice."""
        return [IndexedEvent(*row) for row in self._rows(f"{_EVENTS} {_NUMBERED}", key, first, last)]

    def unnumbered(self, key: str, most: int) -> list[IndexedEvent]:
        """Return a contact's records without a sequence."""
        return [IndexedEvent(*row) for row in self._rows(f"{_EVENTS} {_UNNUMBERED} LIMIT ?", key, most)]

    def receipts(self, key: str, first: int, last: int) -> list[Receipt]:
        """Return the receipts of a contact's events, in the order in which they were written."""
        return self._receipts(f"{_RECEIPTS} {_NUMBERED}, offset", key, first, last)

    def unnumbered_receipts(self, key: str, most: int) -> list[Receipt]:
        """Return the receipts of a contact's records without a sequence."""
        return self._receipts(f"{_RECEIPTS} {_UNNUMBERED} ORDER BY offset DESC LIMIT ?", key, most)[::-1]

    def letters(self, key: str, first: int = 0, last: int = LARGEST) -> list[Letter]:
        """Return a contact's dead letters of these sequences, with their resolutions."""
        return self._letters(self._rows(f"{_LETTERS} {_NUMBERED}, at_ms, offset", key, first, last), key)

    def unnumbered_letters(self, key: str, most: int) -> list[Letter]:
        """Return a contact's dead letters without a sequence."""
        return self._letters(self._rows(f"{_LETTERS} {_UNNUMBERED} LIMIT ?", key, most), key)

    def _letters(self, rows: Sequence[tuple[Any, ...]], key: str) -> list[Letter]:
        found, resolutions = list[SetAside](), Resolutions()
        for number, offset, at_ms, has_value, headers in rows:
            record = SimpleNamespace(
                partition=number,
                offset=offset,
                timestamp=at_ms,
                key=key.encode(),
                value=b"" if has_value else None,
                headers=headers_from(headers),
            )
            set_aside = read_set_aside(record, self.topics)
            found.append(set_aside)
            self._take_in_resolution(resolutions, set_aside.id)
        return dead_letters_of(found, resolutions)

    def stored(self, key: str) -> list[Stored]:
        """Return all of a contact's events with a sequence, as reprocessing stores them."""
        return [
            Stored(each.key, each.sequence, *each.place, each.at_ms, each.value)
            for each in self.events(key)
            if each.sequence is not None
        ]

    def _take_in_resolution(self, resolutions: Resolutions, letter_id: str) -> None:
        query = "SELECT offset, headers, value FROM resolutions WHERE letter = ?"
        for offset, headers, value in self._rows(query, letter_id):
            record = SimpleNamespace(key=letter_id.encode(), offset=offset, headers=headers_from(headers), value=value)
            resolutions.take_in(record)

    def _receipts(self, query: str, *parameters: object) -> list[Receipt]:
        # An index of an earlier version may contain receipts that this one does not accept.
        read = (Receipt.read(unpacked(value)) for (value,) in self._rows(query, *parameters))
        return [receipt for receipt in read if receipt is not None]

    def _rows(self, query: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(query, parameters).fetchall()


def tracked_at(event_id: str) -> datetime | None:
    """Return when an event was tracked, by its UUID of version 7; None for any other id."""
    try:
        return time_of(UUID(event_id))
    except ValueError:
        return None
