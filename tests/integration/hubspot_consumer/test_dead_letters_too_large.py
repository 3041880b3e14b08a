"""Dead letters that their topic does not take as they are, on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from runtime.clock import SystemClock
from schemas.dead_letters import LARGEST_DEAD_LETTER

LARGEST: Final = 100_000
OWN: Final = [("id", b"1"), ("sequence", b"1")]
LARGE: Final = b"x" * (2 * LARGEST)
# Larger than what our producer sends.
HUGE: Final = b"x" * (2 * LARGEST_DEAD_LETTER)


def record(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> Record:
    return Record("lifecycle.nova_earned", 1, 2, datetime.now(UTC), key, value, headers)


@pytest.fixture
async def topic(kafka: Any, topic_prefix: str) -> str:
    """A topic of dead letters whose `max.message.bytes` somebody lowered."""
    name = f"{topic_prefix}dead_letters"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": str(LARGEST)})])
    await admin.close()
    return name


@pytest.fixture
async def producer(kafka: Any) -> AsyncIterator[AIOKafkaProducer]:
    options = {"acks": "all", "max_request_size": LARGEST_DEAD_LETTER}
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **options) as producer:
        yield producer


@pytest.mark.parametrize("large", [LARGE, HUGE], ids=["for the topic", "for our producer"])
async def test_each_is_written_without_the_part_that_is_too_large(
    kafka: Any, topic: str, producer: AIOKafkaProducer, large: bytes
) -> None:
    given = [
        (record(b"a@example.com", b"{}", OWN), (b"a@example.com", b"{}", True, "")),
        (record(b"a@example.com", large, OWN), (b"a@example.com", None, True, "value")),
        (record(b"a@example.com", b"{}", [*OWN, ("h", large)]), (b"a@example.com", b"{}", False, "headers")),
        (record(b"a@example.com", large, [("h", large)]), (b"a@example.com", None, False, "value and headers")),
        (record(large, large, [("h", large)]), (b"", None, False, "value and headers and key")),
        (record(None, None, []), (b"", None, False, "")),
        (record(None, large, OWN), (b"", None, True, "value")),
        # A name that UTF-8 does not have.
        (record(b"a@example.com", b"{}", [*OWN, ("\ud800", b"")]), (b"a@example.com", b"{}", False, "headers")),
        (record(b"a@example.com", b"last", OWN), (b"a@example.com", b"last", True, "")),
    ]
    letters = DeadLetterWriter(producer, topic, SystemClock(), Telemetry())

    async with asyncio.timeout(30):
        for one, _ in given:
            await letters.put(one, "invalid_envelope", "payload: is missing", 0)

    found = []
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        for _ in given:
            read = await asyncio.wait_for(consumer.getone(), 10)
            headers = dict(read.headers)
            assert [headers[f"dead_letter.{name}"] for name in ("topic", "partition", "offset")] == [
                b"lifecycle.nova_earned",
                b"1",
                b"2",
            ]
            detail, _, without = headers["dead_letter.detail"].decode().partition("; set aside without its ")
            assert detail == "payload: is missing"
            found.append((read.key, read.value, "id" in headers, without.partition(",")[0]))
    assert found == [wanted for _, wanted in given]
