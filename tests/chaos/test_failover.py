"""The active relay is killed, stopped or cut from its database, under load: a standby takes over."""

import asyncio
import itertools
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer

from sandbox.processes import free_port
from sandbox.services import Service, producer
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.chaos.proxy import Proxy
from tests.outbox.outbox import is_empty
from tests.polling import eventually

How = Literal["killed", "stopped", "cut"]

GAP_S = 5.0
COMMITS_PER_S = 100
CONTACTS = 40
TYPES = ("wallet_pass_installed", "driver_signed_up", "first_redemption_completed")
RUNS = [
    pytest.param(how, run, marks=() if run == 1 and how == "killed" else pytest.mark.chaos)
    for how in ("killed", "stopped", "cut")
    for run in range(1, 6)
]


@dataclass(frozen=True)
class Record:
    id: bytes
    key: bytes
    sequence: int
    at_s: float


class Reader:
    """Reads all that is published, as it comes."""

    def __init__(self, kafka: Any, topics: Topics) -> None:
        self._consumer = AIOKafkaConsumer(
            *topics.events, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        )
        self.records: list[Record] = []

    async def run(self) -> None:
        await self._consumer.start()
        try:
            while True:
                for batch in (await self._consumer.getmany(timeout_ms=100)).values():
                    for record in batch:
                        headers = dict(record.headers)
                        self.records.append(
                            Record(headers["id"], record.key, int(headers["sequence"]), record.timestamp / 1000)
                        )
        finally:
            await self._consumer.stop()

    @property
    def longest_gap_s(self) -> float:
        moments = sorted(record.at_s for record in self.records)
        return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)

    def first_sequences(self) -> dict[bytes, list[int]]:
        """Return each contact's sequences in the order of their first appearance, by when they were published."""
        found: dict[bytes, list[int]] = defaultdict(list)
        for record in sorted(self.records, key=lambda record: record.at_s):
            if record.sequence not in found[record.key]:
                found[record.key].append(record.sequence)
        return found


@pytest.fixture
async def reader(kafka: Any, topic_prefix: str) -> AsyncIterator[Reader]:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    reading = Reader(kafka, Topics(topic_prefix))
    task = asyncio.create_task(reading.run())
    yield reading
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize(("how", "run"), RUNS)
async def test_a_standby_takes_over_in_seconds_and_the_one_that_comes_back_publishes_nothing(
    tmp_path: Path, kafka: Any, database_url: str, topic_prefix: str, reader: Reader, how: How, run: int,
    failovers: list[tuple[str, float]],
) -> None:  # fmt: skip
    chance = Random(f"{how} {run}")

    def relay(url: str) -> Service:
        environment = {"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
        return producer(
            tmp_path, {**environment, "KAFKA_TOPIC_PREFIX": topic_prefix, "PRODUCER_PORT": str(free_port())}
        )

    async with Proxy(database_url) as proxy:
        first, second = relay(proxy.url), relay(database_url)
        try:
            await first.launch_and_wait()
            await eventually(lambda: _is(first, "active"), saying="the first relay is active")
            await second.launch_and_wait()
            committing = asyncio.create_task(_commit(database_url, 6 * COMMITS_PER_S))
            await eventually(lambda: _read(reader, chance.randrange(100, 200)), saying="some events are published")
            await _strike(first, proxy, how)
            await eventually(lambda: _is(second, "active"), within_s=20, saying="the second relay is active")
            committed = await committing
            await eventually(lambda: is_empty(database_url), within_s=20, saying="the outbox is empty")
            await eventually(lambda: _all_read(reader, committed), saying="all events are published")
            published = len(reader.records)

            await _let_go_on(first, proxy, how)
            await eventually(lambda: _is(first, "standby"), within_s=60, saying="the first relay stands by")

            await _commit(database_url, 10)
            await eventually(lambda: _read(reader, published + 10), saying="ten more events are published")
            assert len(reader.records) == published + 10
            failovers.append((how, reader.longest_gap_s))
            assert reader.longest_gap_s < GAP_S
            for sequences in reader.first_sequences().values():
                assert sequences == list(range(1, len(sequences) + 1))
        finally:
            first.send(signal.SIGCONT)
            await asyncio.gather(first.kill(), second.kill())


async def _strike(relay: Service, proxy: Proxy, how: How) -> None:
    if how == "killed":
        await relay.kill()
    elif how == "stopped":
        relay.send(signal.SIGSTOP)
    else:
        proxy.cut()


async def _let_go_on(relay: Service, proxy: Proxy, how: How) -> None:
    if how == "killed":
        await relay.launch_and_wait()
    elif how == "stopped":
        relay.send(signal.SIGCONT)
    else:
        proxy.heal()


async def _commit(database_url: str, events: int) -> set[bytes]:
    """Commit so many events, each in a transaction of its own; return their ids."""
    loop, ids = asyncio.get_running_loop(), set()
    began = loop.time()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for number in range(events):
            await asyncio.sleep(began + number / COMMITS_PER_S - loop.time())
            found = await connection.execute(
                "SELECT track_lifecycle_event(%s, jsonb_build_object('email', %s::text))::text",
                [TYPES[number % len(TYPES)], f"contact{number % CONTACTS}@example.com"],
            )
            row = await found.fetchone()
            assert row is not None
            ids.add(row[0].encode())
    return ids


async def _is(relay: Service, role: str) -> bool:
    return (await relay.health())[1].get("relay") == role


async def _read(reader: Reader, number: int) -> bool:
    return len(reader.records) >= number


async def _all_read(reader: Reader, ids: set[bytes]) -> bool:
    return ids <= {record.id for record in reader.records}
