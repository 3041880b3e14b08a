"""The rows of the index: the columns stored of a record, by the kind of its topic.

Values and headers are compressed to about a third of their size, since all of them are alike.
"""

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hubspot_consumer.kafka.records import LONGEST_ID, Partition
from schemas.contacts import contact_key
from schemas.deliveries import Receipt
from schemas.envelope import LARGEST, Headers
from schemas.events import EVENT_TYPES
from schemas.publication import published
from schemas.texts import LONGEST_NAME, read_object
from schemas.topics import Topics

Row = tuple[Any, ...]
"""A partition, an offset, and the other columns of its table."""

_INTO: Final = {
    "events": "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "receipts": "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
    "letters": "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?)",
    "resolutions": "INSERT OR REPLACE INTO resolutions VALUES (?, ?, ?, ?, ?)",
}
# A compression dictionary made of an example of each event: a single value is too short to compress well by itself.
DICTIONARY: Final = b"".join(
    json.dumps(published()[event_type]["examples"][0]).encode() for event_type in sorted(EVENT_TYPES)
) + (
    b'{"event_id":"019ab3f0-8a40-7c11-9d2e-5b6c7d8e9f01","type":"nova_earned","sequence":12,"outcome":"delivered",'
    b'"at":"2026-11-24T03:00:01.123456Z","attempts":1,"topic":"lifecycle.nova_earned","partition":3,"offset":4711,'
    b'"published_at":"2026-11-24T03:00:00.123000Z","contact_id":"1234567890","properties":["nerava_contact_key",'
    b'"nerava_event_sequence","nerava_external_id","nerava_last_nova_earned_at","nerava_nova_balance_cents",'
    b'"nerava_total_nova_earned_cents"],"reason":null,"detail":null}'
)
# Raw deflate with a window of 8 KiB. The memory level is low, because each value copies the memory of a compressor.
WINDOW: Final = -13
_PRIMED: Final = zlib.compressobj(1, wbits=WINDOW, memLevel=5, zdict=DICTIONARY)


class Known(NamedTuple):
    """A partition's id in the index, and the next offset to store."""

    id: int
    next: int


@dataclass
class Rows:
    """Rows by table, in the order of their records. A resolution without a value deletes that of its dead letter."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in _INTO})

    def extend(self, more: "Rows") -> None:
        """Append the rows of the records that come next."""
        for table, rows in more.tables.items():
            self.tables[table] += rows

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))

    def write(self, connection: sqlite3.Connection, known: Mapping[Partition, Known]) -> None:
        """Write the rows that are not stored yet."""
        for table, rows in self.tables.items():
            new = [(known[row[0]].id, *row[1:]) for row in rows if row[1] >= known[row[0]].next]
            connection.executemany(_INTO[table], new)
        connection.execute("DELETE FROM resolutions WHERE value = x''")


def rows_of(records: Iterable[Any], topics: Topics) -> Rows:
    """Return the rows of aiokafka's *records*. Malformed records raise nothing."""
    rows, tables = Rows(), _tables(topics)
    for record in records:
        table, read = tables[record.topic]
        if (columns := read(record)) is not None:
            rows.tables[table].append(((record.topic, record.partition), record.offset, *columns))
    return rows


def _tables(topics: Topics) -> dict[str, tuple[str, Callable[[Any], Row | None]]]:
    """Return the table of each topic, and the function that returns its columns of a record, or None for no row."""
    return {
        **dict.fromkeys(topics.events, ("events", _event)),
        topics.deliveries: ("receipts", _receipt),
        topics.dead_letters: ("letters", _letter),
        topics.resolutions: ("resolutions", _resolution),
    }


def packed(value: bytes) -> bytes:
    """Return *value* compressed."""
    # A copy of the compressor that has read the dictionary takes half of the time of a new one.
    packing = _PRIMED.copy()
    return packing.compress(value) + packing.flush()


def unpacked(value: bytes) -> bytes:
    """Return the value that `packed` compressed."""
    return zlib.decompressobj(WINDOW, DICTIONARY).decompress(value)


def headers_as_bytes(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Return a record's headers as packed JSON, which `headers_from` reads."""
    texts = [(name, None if value is None else value.decode("latin-1")) for name, value in headers]
    return packed(json.dumps(texts).encode())


def headers_from(value: bytes) -> list[tuple[str, bytes | None]]:
    """Return the headers that `headers_as_bytes` packed."""
    return [(name, None if value is None else value.encode("latin-1")) for name, value in json.loads(unpacked(value))]


def _event(record: Any) -> Row:
    value = record.value or b""
    document, headers = read_object(value), Headers.decode(record.headers)
    sequence = _in_range(document.get("sequence"))
    contact, payload = document.get("contact"), document.get("payload")
    external_id = contact.get("external_id") if isinstance(contact, dict) else None
    previous = payload.get("previous_email") if isinstance(payload, dict) else None
    return (
        record.timestamp,
        _text(record.key),
        sequence if sequence is not None else headers.sequence,
        headers.id[:LONGEST_ID] or _word(document.get("id"), LONGEST_ID) or "",
        _word(external_id, LONGEST_NAME),
        _key_of(previous, record.key),
        packed(value),
    )


def _letter(record: Any) -> Row:
    return (
        record.timestamp,
        _text(record.key),
        Headers.decode(record.headers).sequence,
        record.value is not None,
        headers_as_bytes(record.headers),
    )


def _in_range(sequence: object) -> int | None:
    return sequence if type(sequence) is int and 0 < sequence <= LARGEST else None


def _word(value: object, longest: int) -> str | None:
    return value[:longest] if isinstance(value, str) and value else None


def _key_of(previous: object, key: bytes | None) -> str | None:
    if not isinstance(previous, str):
        return None
    try:
        found = contact_key(previous)
    except ValueError:
        return None
    return found if found.encode() != key else None


def _resolution(record: Any) -> Row:
    return (_text(record.key), headers_as_bytes(record.headers), record.value or b"")


def _receipt(record: Any) -> Row | None:
    """Return the columns of a receipt; None if it is unreadable, as one of a newer version may be."""
    receipt = Receipt.read(record.value)
    if receipt is None:
        return None
    return (_text(record.key), _in_range(receipt.sequence), packed(record.value))


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
