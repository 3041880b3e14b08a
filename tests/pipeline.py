"""The whole path for one test: topics, database, simulator and the two services as processes, and the ledger."""

import json
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from aiokafka.errors import KafkaError

from console.runs.run import LOCK, PID, is_locked
from hubspot_consumer.kafka.lag import Lag
from sandbox.day.backend import Backend
from sandbox.day.dead_letters import SetAside, read_dead_letters
from sandbox.day.ledger import Findings, Ledger
from sandbox.day.traffic import Day, Happening
from sandbox.processes import free_port
from sandbox.services import Service, console, consumer, producer
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.commands import Done, run
from tests.outbox.outbox import is_empty
from tests.polling import eventually
from tests.simulators import running_simulator

PARTITIONS = 6
# The same tests against another version of HubSpot's API, a portal without custom events, or another id property.
API_VERSION = os.environ.get("NERAVA_TEST_API_VERSION", "2026-03")
OPERATOR_TOKEN = "operator-" + "o" * 32
MANY_CALLS = 500
READER_TOKEN = "reader-" + "r" * 32
NOTES = os.environ.get("NERAVA_TEST_NOTES") == "1"
ID_PROPERTY = os.environ.get("NERAVA_TEST_ID_PROPERTY", "email")


class Pipeline:
    """One test's share of the stack."""

    def __init__(self, directory: Path, kafka: Any, database_url: str, simulator: Simulator, prefix: str) -> None:
        self.directory = directory
        self.topics = Topics(prefix)
        self.simulator = simulator
        self.database_url = database_url
        self._bootstrap_servers = kafka.bootstrap_servers
        producer_port, consumer_port = free_port(), free_port()
        self.environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "CONSUMER_GROUP": f"group-{uuid4().hex[:8]}",
            "HUBSPOT_ENABLED": "true",
            "HUBSPOT_SEND_LIVE": "true",
            "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
            "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
            "HUBSPOT_API_BASE_URL": simulator.url,
            "HUBSPOT_API_VERSION": API_VERSION,
            "HUBSPOT_ID_PROPERTY": ID_PROPERTY,
            "PRODUCER_PORT": str(producer_port),
            "CONSUMER_PORT": str(consumer_port),
            "CONSOLE_PORT": str(free_port()),
            "CONSOLE_PRODUCERS": f"http://127.0.0.1:{producer_port}",
            "CONSOLE_CONSUMERS": f"http://127.0.0.1:{consumer_port}",
            "CONSOLE_OPERATOR_TOKEN": OPERATOR_TOKEN,
            "CONSOLE_READER_TOKEN": READER_TOKEN,
            "CONSOLE_FOLDER": str(directory / "console"),
        }
        self._services: list[Service] = []
        self._of_commands: dict[str, str] = {}

    async def connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.database_url, autocommit=True)

    def producer(self, **environment: str) -> Service:
        return self.keep(producer(self.directory, self.environment | environment))

    def consumer(self, **environment: str) -> Service:
        return self.keep(consumer(self.directory, self.environment | environment))

    def program(self, module: str) -> Service:
        """Return a worker with something changed, as a process of its own port: `python -m MODULE worker`."""
        port = str(free_port())
        options = self.environment | {"CONSUMER_PORT": port}
        return self.keep(Service(f"consumer-{port}", [module, "worker"], self.directory, options, port))

    def console(self, **environment: str) -> Service:
        return self.keep(console(self.directory, self.environment | environment))

    def command(self, *arguments: str, **environment: str) -> Service:
        """Return a command of the consumer as a process: it may be killed, and begun again."""
        options = {**self.environment, **environment}
        return self.keep(Service(arguments[0], ["hubspot_consumer", *arguments], self.directory, options))

    async def allow_many_calls(self) -> None:
        """Let HubSpot take more calls than the test makes: commands need not spread theirs.

        The worker spreads them all the same, since it would make one for each event.
        """
        self._of_commands["HUBSPOT_RATE_LIMIT"] = str(MANY_CALLS)
        await self.simulator.change_settings(quota=MANY_CALLS)

    async def run(self, *arguments: str, **environment: str) -> Done:
        """Run a command of the consumer to its end."""
        options = {**self.environment, **self._of_commands, **environment}
        return await run("hubspot_consumer", *arguments, environment=options)

    async def until_finished(self, *, within_s: float = 60) -> None:
        """Return when the group has acked all that the topics hold."""
        await eventually(self._finished, within_s=within_s, every_s=0.2, saying="the group has read everything")

    async def _finished(self) -> bool:
        lag = Lag(
            {"bootstrap_servers": self._bootstrap_servers}, self.environment["CONSUMER_GROUP"], self.topics.events
        )
        await lag.start()
        try:
            await lag.require_topics()
            return not any((await lag.read()).values())
        finally:
            await lag.stop()

    async def commit(self, events: int, *, seed: int = 1, per_s: float = 2_000) -> None:
        """Commit a day of traffic, one event of it poisoned."""
        await self.play(self.day(events, seed), per_s=per_s)

    async def play(self, happenings: Sequence[Happening], *, per_s: float = 2_000) -> None:
        """Commit a day, or a part of one."""
        await Backend(self.database_url, per_s).play(happenings)

    async def track(self, *events: tuple[str, Mapping[str, Any]]) -> list[str]:
        """Commit events, each a type and its payload, one after the other; return their ids."""
        ids = []
        async with await self.connect() as connection:
            for event_type, payload in events:
                tracked = await connection.execute(
                    "SELECT track_lifecycle_event(%s, %s::jsonb)::text", [event_type, json.dumps(payload)]
                )
                ids += [row[0] async for row in tracked]
        return ids

    async def until_published(self) -> None:
        """Return when the relay has emptied the outbox."""
        await eventually(lambda: is_empty(self.database_url), every_s=0.2, saying="the outbox is empty")

    def day(self, events: int, seed: int = 1) -> list[Happening]:
        return Day(events, seed, datetime.now(UTC)).happenings()

    async def ledger(self) -> Ledger:
        return await Ledger.read(self.database_url)

    async def dead_letters(self) -> list[SetAside]:
        return await read_dead_letters(self._bootstrap_servers, self.topics.dead_letters)

    async def until_set_aside(self, number: int) -> list[SetAside]:
        """Return the dead letters when there are so many."""

        async def all_there() -> list[SetAside] | None:
            dead = await self.dead_letters()
            return dead if len(dead) >= number else None

        found = await eventually(all_there, every_s=0.5, saying=f"{number} dead letters")
        assert found is not None
        return found

    async def arrived(self) -> int:
        """Return how many events HubSpot holds."""
        return await self.simulator.entries()

    async def until_arrived(self, events: int, *, within_s: float = 90) -> None:
        """Return when HubSpot holds so many events."""

        async def arrived() -> bool:
            return await self.arrived() >= events

        await eventually(arrived, within_s=within_s, every_s=0.2, saying=f"{events} events arrive")

    async def all_arrive(self, *, dead: int, within_s: float = 90) -> None:
        """Return when HubSpot holds every committed event but *dead* of them."""
        await self.until_arrived(len((await self.ledger()).events) - dead, within_s=within_s)

    async def all_accounted_for(self, *, within_s: float) -> int:
        """Return the number of committed events when each is in HubSpot or a dead letter."""
        committed = len((await self.ledger()).events)

        async def accounted_for() -> bool:
            # A worker that takes over may set the same one aside again.
            try:
                dead = {letter.id for letter in await self.dead_letters()}
            except KafkaError:
                # A broker that goes on answers for a moment before it is among those of the cluster.
                return False
            return await self.arrived() + len(dead) >= committed

        await eventually(accounted_for, within_s=within_s, every_s=0.5, saying=f"{committed} events are accounted for")
        return committed

    async def findings(self) -> tuple[Findings, Sequence[SetAside]]:
        """Return what is wrong, and what was dead-lettered."""
        dead = await self.dead_letters()
        accepted = await self.simulator.accepted()
        return (await self.ledger()).compare(accepted, [letter.id for letter in dead]), dead

    async def close(self) -> None:
        for service in self._services:
            await service.kill()
        _kill_runs(Path(self.environment["CONSOLE_FOLDER"]))

    def keep(self, service: Service) -> Service:
        """Return the service, which ends with the pipeline."""
        self._services.append(service)
        return service


@asynccontextmanager
async def running_pipeline(
    directory: Path,
    kafka: Any,
    database_url: str,
    prefix: str,
    simulator_options: Sequence[str] = (),
    *,
    topics: bool = True,
) -> AsyncIterator[Pipeline]:
    if topics:
        await create_topics(kafka.bootstrap_servers, Topics(prefix), PARTITIONS)
    await Ledger.install(database_url)
    async with running_simulator(directory, "--id-property", ID_PROPERTY, *simulator_options) as simulator:
        await simulator.change_settings(custom_events=not NOTES)
        pipeline = Pipeline(directory, kafka, database_url, simulator, prefix)
        try:
            yield pipeline
        finally:
            await pipeline.close()


def _kill_runs(folder: Path) -> None:
    # What a console has started goes on without it.
    for started in folder.glob("runs/*"):
        if is_locked(started / LOCK):
            os.killpg(os.getpgid(int((started / PID).read_text())), signal.SIGKILL)


def moments(seed: int, count: int, total: int) -> list[int]:
    """Return *count* numbers of events, ascending, at which to kill something."""
    return sorted(random.Random(seed).sample(range(total // 10, total * 9 // 10), count))
