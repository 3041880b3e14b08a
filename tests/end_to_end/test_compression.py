"""Compressed records: whoever compresses them, the relay or the broker, the worker reads them."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from sandbox.kafka import EmbeddedKafka
from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(180)

# The numbers of the codecs in the attributes of a record batch, from Kafka's protocol guide.
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


async def test_records_of_every_codec_arrive_whether_the_relay_or_the_broker_compressed_them(
    pipeline: Pipeline, kafka: EmbeddedKafka
) -> None:
    worker = pipeline.consumer()
    await worker.launch_and_wait()
    for number, codec in enumerate(CODECS, 1):
        relay = pipeline.producer(KAFKA_COMPRESSION=codec)
        await relay.launch_and_wait()
        await pipeline.commit(20, seed=number)
        await pipeline.until_published()
        await relay.stop()
    await compress(kafka, pipeline.topics.events, "zstd")
    relay = pipeline.producer()
    await relay.launch_and_wait()
    await pipeline.commit(20, seed=99)

    # Each commit of the day's play has one event that no worker can read.
    await pipeline.all_arrive(dead=len(CODECS) + 1)

    assert worker.running
    replayed = await pipeline.run("replay", "--from-earliest", "--dry-run")
    assert replayed.code == 0, replayed.errors
    assert set(codecs_of(kafka, pipeline)) == set(CODECS.values())


async def compress(kafka: EmbeddedKafka, topics: Collection[str], codec: str) -> None:
    """Make the broker recompress what comes, as a platform team may."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        changes = {"compression.type": codec}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=changes) for name in topics])
    finally:
        await admin.close()


def codecs_of(kafka: EmbeddedKafka, pipeline: Pipeline) -> Iterator[int]:
    """Yield the codec of each record batch in the broker's files."""
    for name in pipeline.topics.events:
        for file in kafka.data.glob(f"{name}-*/*.log"):
            yield from _codecs_in(file)


def _codecs_in(file: Path) -> Iterator[int]:
    batches, start = file.read_bytes(), 0
    while start + 61 <= len(batches):
        length = int.from_bytes(batches[start + 8 : start + 12])
        if not length:
            return
        yield int.from_bytes(batches[start + 21 : start + 23]) & 0b111
        start += 12 + length
