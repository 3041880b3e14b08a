"""What docker-compose.yml's profile `debezium` runs once, beside a real Kafka Connect."""

import subprocess
import sys
from typing import Any

import psycopg
import pytest

from producer.debezium import Connector
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.foreign.compose import ROOT
from tests.foreign.debezium import DROP_SLOT, published
from tests.pipeline import PARTITIONS
from tests.polling import eventually

pytestmark = [pytest.mark.slow, pytest.mark.chaos]


async def test_the_connector_is_put_publishes_the_outbox_and_may_be_put_again(
    connect: Any, kafka: Any, database_url: str, topic_prefix: str
) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), PARTITIONS)
    environment = {"DATABASE_URL": database_url, "KAFKA_TOPIC_PREFIX": topic_prefix, "PYTHONPATH": str(ROOT)}

    def start() -> str:
        command = [sys.executable, ROOT / "docker" / "start_connector.py", connect.url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with psycopg.connect(database_url, autocommit=True) as database:
        try:
            assert start() == "made the publication lifecycle_outbox\n201 lifecycle-outbox\n"
            assert start() == "200 lifecycle-outbox\n"
            database.execute(
                'SELECT track_lifecycle_event(\'driver_signed_up\', \'{"user_id": "usr_1", "email": "a@example.com"}\')'
            )
            (record,) = await published(kafka, topic_prefix, 1)
            assert (record.topic, record.key) == ("driver_signed_up", b"a@example.com")
        finally:
            await connect.remove(Connector.name)

            async def slot_is_dropped() -> bool:
                database.execute(f"{DROP_SLOT}'{Connector.slot}'".encode())
                return (
                    database.execute(
                        "SELECT FROM pg_replication_slots WHERE slot_name = %s", (Connector.slot,)
                    ).fetchone()
                    is None
                )

            await eventually(slot_is_dropped, saying="the slot is dropped")
