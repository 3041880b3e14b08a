"""The records of that day: what happened to Ada, and what was set aside."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from hubspot_consumer.dead_letters.resolutions import Discarded, Resolutions
from schemas.dead_letters import DeadLetter
from schemas.deliveries import Receipt
from schemas.envelope import Headers
from tests.console.still.clock import NOW
from tests.kafka.dead_letters import as_read, resolution_as_read
from tests.kafka.kafka_records import TOPICS, KafkaRecord, ms
from tests.samples import EMAIL, PAYLOADS, TIME_OF, value

USER, CONTACT_ID = "usr_1", "151"
REFUSED = "Property values were not valid: nerava_nova_balance_cents: 'a lot' was not a valid number"
LACKS = "payload.earned_at: Field required"
End = Literal["delivered", "dead_lettered", "waiting", "lost"]


@dataclass(frozen=True)
class Happened:
    """An event of Ada's, so many hours before `NOW`, and how it ended, after so many seconds."""

    type: str
    hours: float
    cents: int = 0
    end: End = "delivered"
    took_s: float = 2.0
    attempts: int = 1

    @property
    def at(self) -> datetime:
        return NOW - timedelta(hours=self.hours)


DAY = (
    Happened("driver_signed_up", 51),
    Happened("wallet_pass_installed", 50.9, took_s=0.9),
    Happened("nova_earned", 50.5, 500),
    Happened("nova_earned", 49, 750),
    Happened("nova_redeemed", 48.2, 400, took_s=3.1),
    Happened("first_redemption_completed", 48.2, 400),
    Happened("nova_earned", 27, 1_200, took_s=95, attempts=4),
    Happened("nova_earned", 26.5, 300, took_s=61, attempts=3),
    Happened("nova_redeemed", 25, 250),
    Happened("nova_earned", 9, 500, end="lost"),
    Happened("nova_earned", 8.5, 500, end="dead_lettered", attempts=2),
    Happened("nova_earned", 4, 800, took_s=1.4),
    Happened("nova_redeemed", 2.2, 600),
    Happened("nova_earned", 0.4, 350, took_s=1.1),
    Happened("nova_earned", 0.01, 150, end="waiting"),
)


def _id(at: datetime, number: int) -> str:
    """Return an id that tells its time, as the outbox gives them."""
    return str(UUID(int=(ms(at) << 80) | (7 << 76) | (2 << 62) | number))


def _events() -> Iterator[tuple[Happened, KafkaRecord]]:
    earned = redeemed = 0
    for sequence, each in enumerate(DAY, 1):
        earned += each.cents if each.type == "nova_earned" else 0
        redeemed += each.cents if each.type == "nova_redeemed" else 0
        payload = {**PAYLOADS[each.type], TIME_OF[each.type]: each.at.isoformat()}
        if "amount_cents" in payload:
            payload |= {"amount_cents": each.cents}
        if "new_balance_cents" in payload:
            payload |= {"new_balance_cents": earned - redeemed}
        if each.end == "dead_lettered":
            del payload[TIME_OF[each.type]]
        made: dict[str, Any] = {
            "id": _id(each.at, sequence),
            "type": each.type,
            "schema_version": 1,
            "sequence": sequence,
            "occurred_at": each.at.isoformat(),
            "contact": {"email": EMAIL, "external_id": USER},
            "totals": {"nova_earned_cents": earned, "nova_redeemed_cents": redeemed},
            "payload": payload,
        }
        headers = Headers(made["id"], each.type, sequence).encode()
        published = each.at + timedelta(milliseconds=180)
        yield (
            each,
            KafkaRecord(TOPICS.of(each.type), 3, sequence * 1_000, ms(published), EMAIL.encode(), value(made), headers),
        )


EVENTS: Sequence[tuple[Happened, KafkaRecord]] = [each for each in _events() if each[0].end != "lost"]
PROPERTIES: Mapping[str, Sequence[str]] = {
    "driver_signed_up": ("nerava_role", "nerava_signup_date"),
    "nova_earned": ("nerava_nova_balance_cents", "nerava_total_nova_earned_cents"),
    "nova_redeemed": ("nerava_nova_balance_cents", "nerava_total_nova_redeemed_cents"),
}


def _receipt(happened: Happened, record: KafkaRecord, offset: int) -> KafkaRecord:
    headers, dead = Headers.decode(record.headers), happened.end == "dead_lettered"
    receipt = Receipt(
        event_id=headers.id,
        type=happened.type,
        sequence=headers.sequence,
        outcome="dead_lettered" if dead else "delivered",
        at=happened.at + timedelta(seconds=happened.took_s),
        attempts=happened.attempts,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        published_at=happened.at + timedelta(milliseconds=180),
        contact_id=None if dead else CONTACT_ID,
        properties=() if dead else tuple(PROPERTIES.get(happened.type, ())),
        reason="invalid_envelope" if dead else None,
        detail=LACKS if dead else None,
    )
    return KafkaRecord(TOPICS.deliveries, 3, offset, ms(receipt.at), record.key, receipt.model_dump_json().encode())


def _set_aside(record: KafkaRecord, offset: int, at: datetime, **letter: Any) -> KafkaRecord:
    fields = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "attempts": 2}
    headers = DeadLetter(**{**fields, "failed_at": at, **letter}).headers(
        [(name, text or b"") for name, text in record.headers]
    )
    return KafkaRecord(TOPICS.dead_letters, 0, offset, ms(at), record.key, record.value, headers)


def _letters() -> Iterator[KafkaRecord]:
    """Yield the dead letters, the oldest first: Ada's is the last."""
    [(happened, adas)] = [each for each in EVENTS if each[0].end == "dead_lettered"]
    # The hours before NOW at which each was set aside, by what was wrong.
    rejected = [20.5, 20.4, 20.3, 19.8, 19.7, 19.2, 14, 13.9, 13.5, 13.2, 13.1, 10, 9.9, 9.2]
    lacking = [30, 22, 21.5, 16, 12.5]
    times = sorted([*((hours, True) for hours in rejected), *((hours, False) for hours in lacking)], reverse=True)
    for number, (hours, is_rejected) in enumerate(times):
        email = f"driver{number % 11}@example.com"
        made = _made(email, 10 + number, NOW - timedelta(hours=hours), whole=is_rejected)
        if is_rejected:
            yield _set_aside(made, number, NOW - timedelta(hours=hours), reason="rejected_by_hubspot", detail=REFUSED)
        else:
            yield _set_aside(made, number, NOW - timedelta(hours=hours), reason="invalid_envelope", detail=LACKS)
    yield _set_aside(adas, len(times), happened.at + timedelta(seconds=2), reason="invalid_envelope", detail=LACKS)


def _made(email: str, sequence: int, at: datetime, *, whole: bool) -> KafkaRecord:
    payload = {**PAYLOADS["nova_earned"], "earned_at": at.isoformat()}
    if not whole:
        del payload["earned_at"]
    made = {
        "id": _id(at, sequence),
        "type": "nova_earned",
        "schema_version": 1,
        "sequence": sequence,
        "occurred_at": at.isoformat(),
        "contact": {"email": email, "external_id": f"usr_{sequence}"},
        "totals": {"nova_earned_cents": 500, "nova_redeemed_cents": 0},
        "payload": payload,
    }
    headers = Headers(str(made["id"]), "nova_earned", sequence).encode()
    return KafkaRecord(TOPICS.of("nova_earned"), 5, sequence, ms(at), email.encode(), value(made), headers)


LETTERS: Sequence[KafkaRecord] = list(_letters())
ADAS_LETTER = f"0-{LETTERS[-1].offset}"
# Of the index: what happened to Ada.
RECORDS: Sequence[KafkaRecord] = [
    *(record for _, record in EVENTS),
    *(_receipt(each, record, offset) for offset, (each, record) in enumerate(EVENTS) if each.end != "waiting"),
    LETTERS[-1],
]
# As aiokafka reads the dead letters, one of which was discarded.
LETTERS_READ: Sequence[Any] = [
    as_read(
        each.offset,
        key=each.key,
        value=each.value,
        headers=[(name, text or b"") for name, text in each.headers],
        at_ms=each.timestamp,
    )
    for each in LETTERS
]


def resolutions() -> Resolutions:
    made = Resolutions()
    discarded = Discarded(at=NOW - timedelta(hours=18), note="a test of the app's team")
    made.take_in(resolution_as_read("0-2", discarded, 0, LETTERS[2].timestamp))
    return made
