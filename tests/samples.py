"""Sample events: one payload of each type, and envelopes and records made of them."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.ordering.pending import Pending
from schemas.envelope import Envelope, read_envelope

# Of a portal that a test makes for itself.
TOKEN = "pat-na1-11111111-2222-4333-8444-555555555555"
PORTAL_ID = 12345
# What HUBSPOT_ID_PROPERTY may be.
ID_PROPERTY = "nerava_key"

AT = "2026-11-24T03:00:00.123456Z"
EMAIL = "ada@example.com"

# Times that can't be told in UTC within the years 1 to 9999, and the first and the last that can.
UNTELLABLE = ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-08:00", "9999-12-31T23:59:59.999999-00:01")
TELLABLE = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T14:00:00+14:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T12:00:00-11:59",
)
TIME_OF = {
    "driver_signed_up": "created_at",
    "wallet_pass_installed": "installed_at",
    "nova_earned": "earned_at",
    "nova_redeemed": "redeemed_at",
    "first_redemption_completed": "completed_at",
    "merchant_contact_created": "created_at",
    "merchant_contact_updated": "updated_at",
}

PAYLOADS: dict[str, dict[str, Any]] = {
    "driver_signed_up": {"user_id": "usr_1", "email": EMAIL, "auth_provider": "apple", "created_at": AT},
    "wallet_pass_installed": {"user_id": "usr_1", "pass_type": "apple", "installed_at": AT},
    "nova_earned": {
        "user_id": "usr_1",
        "amount_cents": 500,
        "session_id": "ses_1",
        "new_balance_cents": 500,
        "earned_at": AT,
    },
    "nova_redeemed": {
        "user_id": "usr_1",
        "amount_cents": 100,
        "merchant_id": "mer_1",
        "redemption_id": "red_1",
        "new_balance_cents": 400,
        "redeemed_at": AT,
    },
    "first_redemption_completed": {
        "user_id": "usr_1",
        "redemption_id": "red_1",
        "merchant_id": "mer_1",
        "amount_cents": 100,
        "completed_at": AT,
    },
    "merchant_contact_created": {
        "merchant_id": "mer_1",
        "email": EMAIL,
        "name": "Ada Lovelace",
        "phone": "+1 555 0100",
        "business_name": "Café",
        "created_at": AT,
    },
    "merchant_contact_updated": {"merchant_id": "mer_1", "email": EMAIL, "phone": "+1 555 0101", "updated_at": AT},
}


def envelope(event_type: str = "nova_earned", sequence: int = 1, email: str = EMAIL, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(UUID(int=sequence)),
        "type": event_type,
        "schema_version": 1,
        "sequence": sequence,
        "occurred_at": AT,
        "contact": {"email": email, "external_id": "usr_1"},
        "totals": {"nova_earned_cents": 500 * sequence, "nova_redeemed_cents": 0},
        "payload": PAYLOADS[event_type],
        **changes,
    }


def read(event_type: str = "nova_earned", sequence: int = 1, email: str = EMAIL) -> Envelope:
    return read_envelope(email.encode(), value(envelope(event_type, sequence, email)))


def value(made: dict[str, Any]) -> bytes:
    return json.dumps(made).encode()


def record(
    topic: str = "lifecycle.nova_earned",
    partition: int = 0,
    offset: int = 0,
    *,
    key: bytes = b"",
    value: bytes = b"",
    headers: Sequence[tuple[str, bytes]] = (),
) -> Record:
    return Record(topic, partition, offset, datetime(2026, 11, 24, tzinfo=UTC), key, value, headers)


def pending(sequence: int, finish: Callable[[], None], email: str = EMAIL, *, readable: bool = True) -> Pending:
    return Pending(
        sequence, read(sequence=sequence, email=email) if readable else None, record(offset=sequence), finish
    )
