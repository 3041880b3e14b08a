"""Times at the edge of years, as older producers and hand-made ones wrote them: dead letters, and nobody else stops."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTimestampError

from tests.end_to_end.test_hand_made_records import envelope, timeline
from tests.pipeline import Pipeline
from tests.polling import eventually
from tests.samples import PAYLOADS, UNTELLABLE

pytestmark = pytest.mark.timeout(280)

YEAR_10000_MS = 253402300800000


async def track(pipeline: Pipeline, event_type: str, **changes: Any) -> None:
    """Track an event by the SQL function, which does not look at the times of a payload."""
    async with await pipeline.connect() as connection:
        payload = json.dumps(PAYLOADS[event_type] | changes)
        await connection.execute("SELECT track_lifecycle_event(%s, %s::jsonb)", [event_type, payload])


@pytest.mark.chaos
async def test_an_event_with_such_a_time_costs_itself_alone_and_no_run_ends_by_it(pipeline: Pipeline) -> None:
    for number in range(20):
        await track(pipeline, "driver_signed_up", user_id=f"u{number}", email=f"c{number}@example.com")
    for number, time in enumerate(UNTELLABLE):
        await track(pipeline, "nova_earned", user_id=f"u{number}", earned_at=time)
        await track(pipeline, "nova_earned", user_id=f"u{number}")
    # Of merchants no property is made of it: such an event was delivered before there was a bound, and is now.
    await track(pipeline, "merchant_contact_created", email="c19@example.com", created_at=UNTELLABLE[0])
    # Parked before the function had a bound.
    async with await pipeline.connect() as connection:
        await connection.execute(
            "INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at)"
            " VALUES ('parked', gen_random_uuid(), 'nova_earned', %s::jsonb, 'infinity')",
            [json.dumps(PAYLOADS["nova_earned"] | {"user_id": "parked"})],
        )
    await track(pipeline, "driver_signed_up", user_id="parked", email="parked@example.com")
    worker = pipeline.consumer()

    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await pipeline.until_arrived(20 + len(UNTELLABLE) + 2)
    dead = await pipeline.until_set_aside(len(UNTELLABLE) + 1)

    reasons = sorted(letter.reason for letter in dead)
    assert reasons == ["invalid_envelope"] + ["mapping_failed"] * len(UNTELLABLE)
    assert await worker.healthy()
    await pipeline.until_finished()
    for code, *command in (
        (0, "replay", "--from-earliest", "--dry-run"),
        (0, "audit"),
        (0, "resync", "c19@example.com"),
        (0, "redrive", "--dry-run"),
        # What is skipped is told, and is no success.
        (1, "resync", "c0@example.com"),
    ):
        done = await pipeline.run(*command)
        assert done.code == code, done.output + done.errors
        assert "Traceback" not in done.errors


@pytest.mark.chaos
async def test_a_record_whose_kafka_timestamp_is_beyond_the_year_9999_is_an_event_like_others(
    pipeline: Pipeline,
) -> None:
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    earned, holds, controls = pipeline.topics.of("nova_earned"), pipeline.topics.holds, pipeline.topics.controls
    await _take_any_timestamp(servers, earned, holds, controls)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:

        async def sent(topic: str, key: str, value: object) -> bool:
            try:
                text = json.dumps(value).encode()
                await producer.send_and_wait(topic, text, key=key.encode(), timestamp_ms=YEAR_10000_MS)
            except InvalidTimestampError:
                # The topic's setting takes a moment.
                return False
            return True

        for topic, key, value in (
            (holds, "r", "no hold"),
            (controls, "sending", {"paused": False, "at": UNTELLABLE[0]}),
            (earned, "ada@example.com", envelope("ada@example.com", 1)),
            (earned, "lena@example.com", "no event"),
            (earned, "ada@example.com", envelope("ada@example.com", 2)),
        ):
            await eventually(partial(sent, topic, key, value), saying=f"{topic} takes it")
    worker = pipeline.consumer()
    await worker.launch_and_wait()

    await pipeline.until_set_aside(1)
    await timeline(pipeline, "ada@example.com", 2)

    await pipeline.until_finished()
    assert await worker.sending()
    for command in (["resync", "ada@example.com"], ["audit"], ["replay", "--from-earliest", "--dry-run"]):
        done = await pipeline.run(*command)
        assert done.code == 0, done.output + done.errors


async def _take_any_timestamp(servers: str, *topics: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])
        anything = {"message.timestamp.after.max.ms": str(2**63 - 1)}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs=anything) for topic in topics]
        )
    finally:
        await admin.close()
