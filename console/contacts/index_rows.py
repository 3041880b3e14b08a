"""The rows of the index: the columns stored of a record, by the kind of its topic."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from console.contacts.packing import packed
from hubspot_consumer.kafka.records import Partition
from schemas.contacts import contact_key
from schemas.deliveries import Receipt
from schemas.envelope import Headers
from schemas.texts import read_json
from schemas.topics import Topics

Row = tuple[Any, ...]
"""A partition, an offset, and the other columns of its table."""

_INTO: Final = {
    "events": "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "receipts": "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
    "letters": "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?)",
    "resolutions": "INSERT OR REPLACE INTO resolutions VALUES (?, ?, ?, ?, ?)",
}
# The largest integer of SQLite.
LARGEST: Final = 2**63 - 1


class Known(NamedTuple):
    """A partition's id in the index, and the next offset to store."""

    id: int
    next: int


@dataclass
class Rows:
    """Rows by table, in the order of their records. A resolution without a value deletes that of its dead letter."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in _INTO})

    @property
    def partitions(self) -> set[Partition]:
        return {row[0] for rows in self.tables.values() for row in rows}

    def write(self, connection: sqlite3.Connection, known: Mapping[Partition, Known]) -> None:
        """Write the rows that are not stored yet."""
        for table, rows in self.tables.items():
            new = [(known[row[0]].id, *row[1:]) for row in rows if row[1] >= known[row[0]].next]
            connection.executemany(_INTO[table], new)
        connection.execute("DELETE FROM resolutions WHERE value = x''")


def rows_of(records: Iterable[Any], topics: Topics) -> Rows:
    """Return the rows of aiokafka's *records*. Malformed records raise nothing."""
    rows, events = Rows(), frozenset(topics.events)
    for record in records:
        place = ((record.topic, record.partition), record.offset)
        if record.topic in events:
            rows.tables["events"].append((*place, *_event(record)))
        elif record.topic == topics.deliveries:
            rows.tables["receipts"] += [(*place, *receipt) for receipt in _receipt(record)]
        elif record.topic == topics.dead_letters:
            rows.tables["letters"].append((*place, *_letter(record)))
        elif record.topic == topics.resolutions:
            resolution = (_text(record.key), headers_as_bytes(record.headers), record.value or b"")
            rows.tables["resolutions"].append((*place, *resolution))
    return rows


def headers_as_bytes(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Return a record's headers as packed JSON; `headers_from` decodes it after unpacking."""
    texts = [(name, None if value is None else value.decode("latin-1")) for name, value in headers]
    return packed(json.dumps(texts).encode())


def headers_from(text: bytes) -> list[tuple[str, bytes | None]]:
    """Return the headers from unpacked JSON that `headers_as_bytes` made."""
    return [(name, None if value is None else value.encode("latin-1")) for name, value in json.loads(text)]


def _event(record: Any) -> Row:
    value = record.value or b""
    told, headers = _told(value), Headers.decode(record.headers)
    sequence = headers.sequence if headers.sequence is not None else told.get("sequence")
    contact, payload = told.get("contact"), told.get("payload")
    external_id = contact.get("external_id") if isinstance(contact, dict) else None
    previous = payload.get("previous_email") if isinstance(payload, dict) else None
    return (
        record.timestamp,
        _text(record.key),
        _in_range(sequence),
        headers.id or _word(told.get("id")) or "",
        _word(external_id),
        _key_of(previous, record.key),
        packed(value),
    )


def _letter(record: Any) -> Row:
    sequence = _in_range(Headers.decode(record.headers).sequence)
    has_value, headers = record.value is not None, headers_as_bytes(record.headers)
    return (record.timestamp, _text(record.key), sequence, has_value, headers)


def _in_range(sequence: object) -> int | None:
    return sequence if type(sequence) is int and 0 < sequence <= LARGEST else None


def _told(value: bytes) -> Mapping[str, Any]:
    try:
        told = read_json(value)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _key_of(previous: object, key: bytes | None) -> str | None:
    if not isinstance(previous, str):
        return None
    try:
        found = contact_key(previous)
    except ValueError:
        return None
    return found if found.encode() != key else None


def _receipt(record: Any) -> list[Row]:
    """Return the receipt's row; no row if it is unreadable, as one of a newer version may be."""
    try:
        receipt = Receipt.model_validate_json(record.value or b"")
    except ValidationError:
        return []
    return [(_text(record.key), _in_range(receipt.sequence), packed(record.value))]


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
