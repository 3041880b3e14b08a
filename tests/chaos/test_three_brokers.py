"""Three brokers, each topic on all of them: brokers die and come back under load, and every event arrives once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.services import Service
from sandbox.variants.kafka_cluster import KafkaCluster
from tests.commands import run
from tests.pipeline import Pipeline, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(600)

EVENTS = 10_000
PER_S = 100
# The time after which Kafka, by its own default, gives up a broker.
SESSION_MS = 9_000
BEFORE_S = 15.0
SOME_TIME_S = 20.0
A_MINUTE = 60.0
LOOK_EVERY_S = 0.25

Fault = Callable[["Scene"], Awaitable[None]]


@dataclass
class Scene:
    """The whole path on three brokers."""

    kafka: KafkaCluster
    pipeline: Pipeline
    services: tuple[Service, ...]


@asynccontextmanager
async def on_three_brokers(directory: Path, database_url: str, prefix: str, session_ms: int) -> AsyncIterator[Scene]:
    async with (
        KafkaCluster(directory / "kafka", session_ms=session_ms) as kafka,
        running_pipeline(directory, kafka, database_url, prefix, topics=False) as pipeline,
    ):
        pipeline.environment |= {**kafka.environment, "KAFKA_PARTITIONS": "6"}
        made = await run("producer", "topics", environment=pipeline.environment)
        assert made.code == 0, made
        services = pipeline.producer(), pipeline.consumer()
        await asyncio.gather(*(service.launch_and_wait() for service in services))
        yield Scene(kafka, pipeline, services)


async def one_is_killed(scene: Scene) -> None:
    broker = scene.kafka.brokers[1]
    await broker.kill()
    await asyncio.sleep(SOME_TIME_S)
    await broker.start()


async def two_are_dead_for_a_minute(scene: Scene) -> None:
    two = scene.kafka.brokers[:2]
    await asyncio.gather(*(broker.kill() for broker in two))
    await asyncio.sleep(SOME_TIME_S)
    doctor = (await scene.pipeline.run("doctor", "--offline")).output
    assert "fail  kafka             1 of 3 brokers answer, and not " in doctor
    assert "can't be written" in doctor
    await asyncio.sleep(A_MINUTE - SOME_TIME_S)
    await asyncio.gather(*(broker.start() for broker in two))


async def all_restart_in_turn(scene: Scene) -> None:
    for broker in scene.kafka.brokers:
        await broker.stop()
        await broker.start()
        await asyncio.sleep(5)


async def longest_silence(pipeline: Pipeline) -> float:
    """Measure, until cancelled, for how many seconds no event arrived; return the longest of these times."""
    loop = asyncio.get_running_loop()
    longest, since, arrived = 0.0, loop.time(), await pipeline.arrived()
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if (now := await pipeline.arrived()) != arrived:
                longest, since, arrived = max(longest, loop.time() - since), loop.time(), now
    except asyncio.CancelledError:
        return longest


@pytest.mark.chaos
@pytest.mark.parametrize("fault", [one_is_killed, two_are_dead_for_a_minute, all_restart_in_turn])
async def test_whatever_brokers_do_every_event_arrives_once_and_in_order(
    tmp_path: Path, database_url: str, topic_prefix: str, days: list[str], fault: Fault
) -> None:
    async with on_three_brokers(tmp_path, database_url, topic_prefix, SESSION_MS) as scene:
        pipeline = scene.pipeline
        committing = asyncio.create_task(pipeline.commit(EVENTS, per_s=PER_S))
        await asyncio.sleep(BEFORE_S)
        measuring = asyncio.create_task(longest_silence(pipeline))

        await fault(scene)

        await committing
        committed = len((await pipeline.ledger()).events)
        await pipeline.all_arrive(dead=1, within_s=180)
        measuring.cancel()
        findings, dead = await pipeline.findings()
        words = fault.__name__.replace("_", " ")
        days.append(f"three brokers, {words}: {committed} events, no arrival for {await measuring:.1f} s at most")
        assert not findings
        assert {letter.reason for letter in dead} == {"invalid_envelope"}
        for service in scene.services:
            await eventually(service.healthy, saying=f"{service.name} is well")


@pytest.mark.chaos
async def test_with_one_of_three_brokers_dead_events_arrive_the_services_are_well_and_the_doctor_names_it(
    tmp_path: Path, database_url: str, topic_prefix: str
) -> None:
    async with on_three_brokers(tmp_path, database_url, topic_prefix, 2_000) as scene:
        pipeline = scene.pipeline
        committing = asyncio.create_task(pipeline.commit(300, per_s=100))
        await pipeline.until_arrived(50)

        await scene.kafka.brokers[2].kill()

        await committing
        await pipeline.all_arrive(dead=1)
        findings, _ = await pipeline.findings()
        assert not findings
        for service in scene.services:
            await eventually(service.healthy, saying=f"{service.name} is well")
        # Both look at Kafka several times meanwhile.
        for _ in range(14):
            await asyncio.sleep(0.5)
            assert [(await service.health())[1].get("unwell") for service in scene.services] == [{}, {}]
        doctor = (await pipeline.run("doctor", "--offline")).output
        assert "warn  kafka             2 of 3 brokers answer, and not " in doctor
        assert "with copies that are not in sync" in doctor
        # By the one setting every topic has three copies, also those that workers create.
        assert f"ok    topic_settings    as asked, of {len(pipeline.topics.all)} topics" in doctor
