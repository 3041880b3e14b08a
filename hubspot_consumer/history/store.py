"""The store: unchanged events on disk, so that memory is bounded for any number of events.

It is also the run's journal: it records how far reading and writing have come, so that a killed run can continue.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from hubspot_consumer.kafka.records import Offsets, Place, Record
from schemas.contacts import ContactKey
from schemas.times import moment_of

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    key TEXT NOT NULL, sequence INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    offset INTEGER NOT NULL, at_ms INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moves (
    previous TEXT NOT NULL, key TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (previous, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS moves_by_key ON moves (key);
"""
# The index is built after the first reading: with an index, each insert would cost a seek.
_INDEX: Final = "CREATE INDEX IF NOT EXISTS events_of_contact ON events (key, sequence)"
_PAGES_IN_MEMORY_KIB: Final = 64 * 1024
# The rows of a contact are scattered over the file: reading them costs half without a system call for each.
# SQLite maps no more than its own limit, two gigabytes unless it was built with another.
_MAPPED_BYTES: Final = 1 << 40
# Several processes may write, one after the other.
_WAIT_S: Final = 60.0


Columns = tuple[str, int, str, int, int, int, bytes]
"""A `Stored` event as a plain tuple: building the named tuple takes longer than reading the record."""


class Stored(NamedTuple):
    """One unchanged event. `sequence` is from its header, or else its envelope; `at_ms` is the record's timestamp."""

    key: str
    sequence: int
    topic: str
    partition: int
    offset: int
    at_ms: int
    value: bytes

    @property
    def place(self) -> Place:
        return (self.topic, self.partition, self.offset)

    def record(self) -> Record:
        moment = moment_of(self.at_ms / 1000)
        return Record(self.topic, self.partition, self.offset, moment, self.key.encode(), self.value, ())


class EventStore:
    """One run's events by contact and sequence. Each method that writes events or facts is one transaction."""

    def __init__(self, file: Path) -> None:
        # Only the owner may read it: it holds emails. SQLite gives the -wal and -shm files the same permissions.
        file.touch(0o600)
        self._connection = sqlite3.connect(file, _WAIT_S, isolation_level=None, check_same_thread=False)
        settings = {
            "journal_mode": "WAL",
            # A killed process loses nothing. After a power failure the run may have to begin anew.
            "synchronous": "OFF",
            "cache_size": -_PAGES_IN_MEMORY_KIB,
            "mmap_size": _MAPPED_BYTES,
        }
        for name, value in settings.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def add(self, events: Iterable[Columns], positions: Offsets) -> None:
        """Store *events*, and the *positions* from which reading continues after them."""
        with self._connection as connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", events)
            connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                [(topic, partition, following) for (topic, partition), following in positions.items()],
            )

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the offsets from which reading continues, by topic and partition."""
        return {
            (topic, partition): following
            for topic, partition, following in self._connection.execute("SELECT * FROM positions")
        }

    def put_in_order(self) -> None:
        """Build the index for reading by contact. The first call takes about a second for each million events."""
        self._connection.execute(_INDEX)

    @property
    def size(self) -> int:
        """The number of stored records."""
        return int(self._connection.execute("SELECT coalesce(max(rowid), 0) FROM events").fetchone()[0])

    def borders(self, parts: int) -> list[str]:
        """Return contact keys that divide the events into about equal *parts*: at most *parts* - 1 keys."""
        query = "SELECT key FROM events ORDER BY key, sequence LIMIT 1 OFFSET ?"
        at = [self.size * part // parts for part in range(1, parts)]
        found = [row[0] for offset in at if (row := self._connection.execute(query, (offset,)).fetchone())]
        return sorted(set(found))

    def contacts_after(self, key: str, most: int) -> list[ContactKey]:
        """Return up to *most* contact keys after *key*, in order."""
        query = "SELECT DISTINCT key FROM events WHERE key > ? ORDER BY key LIMIT ?"
        return [ContactKey(key) for (key,) in self._connection.execute(query, (key, most))]

    def events_of(self, key: str) -> list[Stored]:
        """Return the events of a contact by sequence; an event that was read twice is in the list twice."""
        query = "SELECT * FROM events WHERE key = ? ORDER BY sequence"
        return [Stored(*row) for row in self._connection.execute(query, (key,))]

    def missing(self, keys: Collection[ContactKey]) -> dict[ContactKey, tuple[int, int]]:
        """Return how many sequences are missing between the first and the last event of *keys*, and the last sequence.

        Contacts of which none is missing are left out.
        """
        query = "SELECT max(sequence) - min(sequence) + 1 - count(DISTINCT sequence), max(sequence) FROM events"
        found = {key: self._connection.execute(f"{query} WHERE key = ?", (key,)).fetchone() for key in keys}
        return {key: (number, last) for key, (number, last) in found.items() if number}

    def by_contact(self, after: str = "", up_to: str | None = None) -> Iterator[tuple[ContactKey, list[Stored]]]:
        """Yield the contacts after one key up to and including another, each with its events by sequence."""
        query = "SELECT * FROM events WHERE key > ? AND (? IS NULL OR key <= ?) ORDER BY key, sequence"
        rows = map(Stored._make, self._connection.execute(query, (after, up_to, up_to)))
        for key, events in groupby(rows, key=itemgetter(0)):
            yield ContactKey(key), list(events)

    def note_move(self, previous: ContactKey, key: ContactKey, at_ms: int) -> None:
        """Store that an event of *key* names *previous* as the contact's previous email."""
        self._connection.execute("INSERT OR IGNORE INTO moves VALUES (?, ?, ?)", (previous, key, at_ms))

    def moves(self) -> list[tuple[ContactKey, ContactKey]]:
        """Return the moves as pairs of previous and new key, oldest first."""
        rows = self._connection.execute("SELECT previous, key FROM moves ORDER BY at_ms")
        return [(ContactKey(previous), ContactKey(key)) for previous, key in rows]

    def keep_moves(self, keys: Collection[ContactKey]) -> None:
        """Delete the moves that none of *keys* is part of."""
        for previous, key in self.moves():
            if previous not in keys and key not in keys:
                self._connection.execute("DELETE FROM moves WHERE previous = ? AND key = ?", (previous, key))

    def moved(self, key: ContactKey) -> bool:
        """Return whether a key is part of a move."""
        query = "SELECT 1 FROM moves WHERE previous = ? OR key = ? LIMIT 1"
        return self._connection.execute(query, (key, key)).fetchone() is not None

    def keep(self, **facts: Any) -> None:
        """Store other state of the run by name, as JSON."""
        with self._connection as connection:
            connection.execute("BEGIN")
            rows = [(name, json.dumps(value)) for name, value in facts.items()]
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def fact(self, name: str, default: Any = None) -> Any:
        """Return the value stored under that name."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])
