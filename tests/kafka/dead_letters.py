"""Records of the topics of dead letters and resolutions, as aiokafka reads them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hubspot_consumer.dead_letters.dead_letter import Letter, dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import SET_ASIDE_AT, Resolution, Resolutions
from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.topics import Topics

# Long ago, beside what Kafka stamps now.
AT = datetime(2024, 11, 24, 3, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
DEBEZIUMS = [
    ("id", b"8"),
    ("type", b"foo"),
    ("sequence", b"4"),
    ("dead_letter.reason", b"unknown_event_type"),
    ("dead_letter.detail", b"no topic takes a row of this type"),
]


def headers(
    event_id: str = "7", *, reason: str = "rejected_by_hubspot", event_type: str = "nova_earned", **changes: Any
) -> list[tuple[str, bytes]]:
    """Return the headers of a dead letter; *changes* are its own fields."""
    words = {"detail": "400: ada@example.com is invalid", "topic": f"lifecycle.{event_type}", "partition": 3}
    letter = DeadLetter(reason=reason, **{**words, "offset": 42, "attempts": 1, "failed_at": AT, **changes})
    own = Headers(event_id, event_type, 12).encode() if event_id else []
    return letter.headers(own)


def as_read(
    offset: int = 0,
    partition: int = 0,
    *,
    key: bytes | None = b"ada@example.com",
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes]] = (),
    at_ms: int = AT_MS,
) -> Any:
    return SimpleNamespace(
        topic="lifecycle.dead_letters",
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=headers,
        timestamp=at_ms,
    )


def resolution_as_read(letter_id: str, value: Resolution | bytes | None, offset: int, at_ms: int | None = None) -> Any:
    encoded = value.model_dump_json().encode() if isinstance(value, Resolution) else value
    marks = [(SET_ASIDE_AT, str(at_ms).encode())] if at_ms is not None else []
    return SimpleNamespace(key=letter_id.encode(), value=encoded, offset=offset, headers=marks)


def letters(records: Iterable[Any], resolutions: Resolutions | None = None) -> list[Letter]:
    """Return the letters of records, as the book does."""
    return dead_letters_of([read_set_aside(record, Topics()) for record in records], resolutions or Resolutions())


def letter(resolutions: Resolutions | None = None, **record: Any) -> Letter:
    [only] = letters([as_read(**{"headers": headers(), **record})], resolutions)
    return only
