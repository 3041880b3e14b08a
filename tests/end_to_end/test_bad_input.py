"""Rows and records that are no events: dead letters with their reason, and everything else goes on."""

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(120)

ENVELOPE: dict[str, Any] = {
    "id": "01990000-0000-7000-8000-000000000001",
    "type": "wallet_pass_installed",
    "schema_version": 1,
    "sequence": 1,
    "occurred_at": "2026-11-24T03:00:00Z",
    "contact": {"email": "hand@example.com", "external_id": None},
    "totals": {"nova_earned_cents": 0, "nova_redeemed_cents": 0},
    "payload": {"user_id": "usr_1", "pass_type": "apple", "installed_at": "2026-11-24T03:00:00Z"},
}

NO_JSON = (b'{"id": "0199', b"", b"\xff\xfe", b"null", b"[" * 5_000)

ROWS: list[tuple[str | None, str, object, str]] = [
    ("hand@example.com", "coffee_drunk", ENVELOPE, "unknown_event_type"),
    (None, "wallet_pass_installed", ENVELOPE, "missing_key"),
    ("hand@example.com", "wallet_pass_installed", ["no", "object"], "invalid_envelope"),
    ("hand@example.com", "wallet_pass_installed", None, "invalid_envelope"),
    ("hand@example.com", "wallet_pass_installed", ENVELOPE | {"schema_version": 2}, "unsupported_schema_version"),
    ("hand@example.com", "wallet_pass_installed", ENVELOPE | {"type": "coffee_drunk"}, "unknown_event_type"),
    ("somebody@example.com", "wallet_pass_installed", ENVELOPE, "key_mismatch"),
]


async def test_rows_inserted_by_hand_become_dead_letters_and_the_others_are_delivered(pipeline: Pipeline) -> None:
    await asyncio.gather(pipeline.producer().launch_and_wait(), pipeline.consumer().launch_and_wait())
    async with await pipeline.connect() as connection:
        for key, event_type, payload, _ in ROWS:
            await connection.execute(
                "INSERT INTO outbox_events (aggregateid, type, payload) VALUES (%s, %s, %s)",
                [key, event_type, json.dumps(payload) if payload is not None else None],
            )
    await pipeline.commit(100)

    await pipeline.until_arrived(99)
    dead = await pipeline.until_set_aside(len(ROWS) + 1)

    assert sorted(letter.reason for letter in dead) == sorted([*(row[3] for row in ROWS), "invalid_envelope"])
    assert all(letter.id for letter in dead)


async def test_records_that_are_no_json_become_dead_letters(pipeline: Pipeline) -> None:
    await pipeline.consumer().launch_and_wait()
    async with AIOKafkaProducer(bootstrap_servers=pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        for value in NO_JSON:
            await producer.send_and_wait(pipeline.topics.of("nova_earned"), value, key=b"ada@example.com", partition=0)

    dead = await pipeline.until_set_aside(len(NO_JSON))

    assert [letter.reason for letter in dead] == ["invalid_envelope"] * len(NO_JSON)
