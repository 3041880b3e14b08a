"""A Kafka that takes no session as short as the workers': health and the doctor name its setting, and both heal."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Plain
from tests.pipeline import Pipeline, running_pipeline
from tests.polling import eventually

SETTING = "group.min.session.timeout.ms"


@pytest.fixture
async def strict(tmp_path: Path, database_url: str, topic_prefix: str) -> AsyncIterator[tuple[EmbeddedKafka, Pipeline]]:
    broker = EmbeddedKafka(tmp_path / "kafka", listener=Plain(properties=f"{SETTING}=15000"))
    await broker.start()
    try:
        async with running_pipeline(tmp_path, broker, database_url, topic_prefix) as pipeline:
            yield broker, pipeline
    finally:
        await broker.kill()


@pytest.mark.chaos
async def test_a_session_that_kafka_refuses_is_told_with_both_numbers_and_the_worker_joins_once_it_is_taken(
    strict: tuple[EmbeddedKafka, Pipeline],
) -> None:
    broker, pipeline = strict
    worker = pipeline.consumer()
    worker.launch()

    async def told() -> bool:
        unwell = (await worker.health())[1].get("unwell", {})
        told = f"Kafka refuses the workers' session of 10000 ms: {SETTING} is 15000 on its brokers: set it to 10000"
        return str(unwell.get("worker", "")).startswith(told)

    await eventually(told, saying="health names the brokers' setting")
    assert f"{SETTING} is 15000" in (await pipeline.run("doctor", "--offline")).output
    assert worker.running

    await broker.stop()
    broker.listener = Plain()
    await broker.start()
    await eventually(worker.healthy, saying="the worker has joined")
