"""The embedded stack: starts, is killed, starts again with its data, and never takes somebody else for its own."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from sandbox.connect import EmbeddedConnect
from sandbox.kafka import EmbeddedKafka
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import PortBusy
from sandbox.stack import create_topics
from schemas.topics import Topics


async def test_postgres_keeps_what_was_committed_through_kill_9(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    await postgres.start()
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS value")

    await postgres.kill()
    await postgres.start()

    try:
        async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
            assert await (await connection.execute("SELECT value FROM kept")).fetchone() == (1,)
    finally:
        await postgres.stop()


async def test_kafka_keeps_what_was_acknowledged_through_kill_9(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path / "kafka")
    await kafka.start()
    await create_topics(kafka.bootstrap_servers, Topics(), 1)
    topic = Topics().events[0]
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(topic, b"kept")

    await kafka.kill()
    await kafka.start()

    try:
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            assert (await consumer.getone()).value == b"kept"
    finally:
        await kafka.stop()


@pytest.mark.parametrize(
    "server", [EmbeddedKafka, EmbeddedPostgres, partial(EmbeddedConnect, bootstrap_servers="127.0.0.1:1")]
)
async def test_a_busy_port_is_refused(
    tmp_path: Path, server: Callable[..., EmbeddedKafka | EmbeddedPostgres | EmbeddedConnect]
) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]

        with pytest.raises(PortBusy, match=f"can't use port {port}"):
            await server(tmp_path, port=port).start()
