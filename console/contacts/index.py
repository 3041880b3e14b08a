"""The index: an SQLite file of the records on Kafka by contact, so that a page finds those of one contact.

The file may be deleted at any time, and is then rebuilt from Kafka. It contains emails.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from console.contacts.index_rows import DICTIONARY, WINDOW, Known, Rows
from console.sqlite_files import connected, delete, is_damage, is_still, version_of
from hubspot_consumer.kafka.records import Partition

FILE: Final = "index.sqlite"
_SCHEMA: Final = """
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
    first INTEGER NOT NULL, next INTEGER NOT NULL, last_ms INTEGER NOT NULL, UNIQUE (topic, number)
);
CREATE TABLE events (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, at_ms INTEGER NOT NULL, key TEXT NOT NULL, sequence INTEGER,
    id TEXT NOT NULL, external_id TEXT, previous TEXT, value BLOB NOT NULL, UNIQUE (partition, offset)
);
CREATE INDEX events_of_contact ON events (key, sequence);
CREATE INDEX contacts_of_user ON events (external_id, key) WHERE external_id IS NOT NULL;
CREATE INDEX keys_before ON events (key, previous) WHERE previous IS NOT NULL;
CREATE INDEX keys_after ON events (previous, key) WHERE previous IS NOT NULL;
CREATE TABLE receipts (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, key TEXT NOT NULL, sequence INTEGER, value BLOB NOT NULL,
    UNIQUE (partition, offset)
);
CREATE INDEX receipts_of_contact ON receipts (key, sequence);
CREATE TABLE letters (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, at_ms INTEGER NOT NULL, key TEXT NOT NULL, sequence INTEGER,
    has_value INTEGER NOT NULL, headers BLOB NOT NULL, UNIQUE (partition, offset)
);
CREATE INDEX letters_of_contact ON letters (key, sequence);
CREATE TABLE resolutions (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, letter TEXT PRIMARY KEY,
    headers BLOB NOT NULL, value BLOB NOT NULL, UNIQUE (partition, offset)
);
"""
TABLES: Final = ("events", "receipts", "letters", "resolutions")
# The version depends on the schema and the compression. A file of another version is rebuilt.
VERSION: Final = zlib.crc32(f"{_SCHEMA}{WINDOW}".encode() + DICTIONARY) & 0x7FFFFFFF
_MEMORY_KIB: Final = 64 * 1024
# SQLite's pages, of 4 KiB, in the log of changes before they are copied into the file. New rows change pages all over
# the indexes: with SQLite's 1,000, the same pages are written again and again.
_CHECKPOINT_PAGES: Final = 16_384


class IndexAway(Exception):
    """The index can't be read now; the message says why."""


class Reached(NamedTuple):
    """The indexed range of a partition: offsets `first` to `next` - 1, and the timestamp in ms of the last record."""

    first: int = 0
    next: int = 0
    last_ms: int = -1


class Index:
    """The index file. One thread writes at a time, any thread reads. Each method that writes is one transaction."""

    def __init__(self, folder: Path) -> None:
        self.file: Final = folder / FILE
        self._lock: Final = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def open(self) -> None:
        """Open the file, or create it. A file that is damaged or of another version is replaced. Raises OSError."""
        with self._lock:
            self.close()
            try:
                self._connection = self._connect()
                is_current = version_of(self._connection) == VERSION
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                is_current = False
            if not is_current:
                self.delete()
                self._connection = self._connect()
                self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
            self._inode = self.file.stat().st_ino

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @property
    def is_there(self) -> bool:
        """Whether the open file still exists at its path: it may have been deleted or replaced."""
        return self._connection is not None and is_still(self.file, self._inode)

    def delete(self) -> None:
        """Close and delete the file, for example because it is damaged."""
        with self._lock:
            self.close()
            delete(self.file)

    def reached(self) -> dict[Partition, Reached]:
        """Return the indexed range of each partition."""
        with self._lock:
            rows = self._open_connection.execute("SELECT topic, number, first, next, last_ms FROM partitions")
            return {(topic, number): Reached(*reached) for topic, number, *reached in rows}

    def add(self, rows: Rows, reached: Mapping[Partition, Reached]) -> None:
        """Store *rows*, and the range that each of their partitions has *reached*.

        Records already stored stay as they are.
        """
        with self._writing() as connection:
            known = {partition: _known(connection, partition) for partition in reached}
            rows.write(connection, known)
            connection.executemany(
                "UPDATE partitions SET first = ?, next = ?, last_ms = ? WHERE id = ? AND next < ?",
                [(*each, known[partition].id, each.next) for partition, each in reached.items()],
            )

    def forget(self, beginnings: Mapping[Partition, int]) -> None:
        """Delete the records before these offsets, which Kafka has deleted."""
        with self._writing() as connection:
            for partition, first in beginnings.items():
                id_ = _known(connection, partition).id
                for table in TABLES:
                    query = f"DELETE FROM {table} WHERE partition = ? AND offset < ?"  # noqa: S608 - constants
                    connection.execute(query, (id_, first))
                connection.execute(
                    "UPDATE partitions SET first = max(first, ?), next = max(next, ?) WHERE id = ?", (first, first, id_)
                )

    def forget_topic(self, topic: str) -> None:
        """Delete the rows of a topic that was deleted or recreated under the same name."""
        with self._writing() as connection:
            for table in TABLES:
                where = "partition IN (SELECT id FROM partitions WHERE topic = ?)"
                connection.execute(f"DELETE FROM {table} WHERE {where}", (topic,))  # noqa: S608 - constants
            connection.execute("DELETE FROM partitions WHERE topic = ?", (topic,))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that reads a snapshot of the index. Raises IndexAway."""
        try:
            with closing(sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("BEGIN")
                if version_of(connection) != VERSION:
                    raise IndexAway("the index has another version, and is about to be built again")
                yield connection
        except sqlite3.DatabaseError as error:
            raise IndexAway(f"the index can't be read ({error})") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._open_connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise IndexAway("the index is not open")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        settings = f"cache_size = -{_MEMORY_KIB}", f"wal_autocheckpoint = {_CHECKPOINT_PAGES}"
        return connected(self.file, *settings)


def _known(connection: sqlite3.Connection, partition: Partition) -> Known:
    connection.execute("INSERT OR IGNORE INTO partitions VALUES (NULL, ?, ?, 0, 0, -1)", partition)
    query = "SELECT id, next FROM partitions WHERE topic = ? AND number = ?"
    return Known(*connection.execute(query, partition).fetchone())
