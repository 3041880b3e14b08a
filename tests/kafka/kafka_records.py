"""Records as aiokafka hands them out: of events, receipts, dead letters and resolutions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hubspot_consumer.dead_letters.resolutions import SET_ASIDE_AT, Resolution
from schemas.dead_letters import DeadLetter
from schemas.deliveries import Receipt, ReceiptOutcome
from schemas.envelope import Headers
from schemas.topics import Topics
from tests.samples import EMAIL, envelope, value

TOPICS = Topics()
BEGAN = datetime(2026, 11, 24, 3, tzinfo=UTC)


class KafkaRecord(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def event_record(
    event_type: str = "nova_earned",
    sequence: int = 1,
    offset: int = 0,
    email: str = EMAIL,
    *,
    partition: int = 0,
    made: dict[str, Any] | None = None,
) -> KafkaRecord:
    """Return the record of an event, published so many seconds after `BEGAN` as its sequence says."""
    made = made or envelope(event_type, sequence, email)
    headers = Headers(str(made["id"]), event_type, sequence).encode()
    at = ms(BEGAN + timedelta(seconds=sequence))
    return KafkaRecord(TOPICS.of(event_type), partition, offset, at, email.encode(), value(made), headers)


def receipt_record(
    record: KafkaRecord,
    outcome: ReceiptOutcome = "delivered",
    offset: int = 0,
    *,
    minutes: int = 1,
    **told: Any,
) -> KafkaRecord:
    """Return the receipt of a record, so many minutes after `BEGAN`."""
    headers = Headers.decode(record.headers)
    receipt = Receipt(
        event_id=headers.id or None,
        type=record.topic.removeprefix(TOPICS.prefix),
        sequence=headers.sequence,
        outcome=outcome,
        at=BEGAN + timedelta(minutes=minutes),
        attempts=told.pop("attempts", 1),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        published_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        **told,
    )
    text = receipt.model_dump_json().encode()
    return KafkaRecord(TOPICS.deliveries, 0, offset, ms(receipt.at), record.key, text)


def letter_record(
    record: KafkaRecord, reason: str = "rejected", detail: str = "HubSpot says no", offset: int = 0, *, minutes: int = 1
) -> KafkaRecord:
    """Return a record's dead letter."""
    failed_at = BEGAN + timedelta(minutes=minutes)
    letter = DeadLetter(reason, detail, record.topic, record.partition, record.offset, 2, failed_at)
    headers = letter.headers([(name, text or b"") for name, text in record.headers])
    return KafkaRecord(TOPICS.dead_letters, 0, offset, ms(failed_at), record.key, record.value, headers)


def resolution_record(letter: KafkaRecord, resolution: Resolution, offset: int = 0) -> KafkaRecord:
    """Return what became of a dead letter."""
    key, text = f"{letter.partition}-{letter.offset}".encode(), resolution.model_dump_json().encode()
    headers = [(SET_ASIDE_AT, str(letter.timestamp).encode())]
    return KafkaRecord(TOPICS.resolutions, 0, offset, ms(resolution.at), key, text, headers)
