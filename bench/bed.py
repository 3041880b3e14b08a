"""The bed: one stack for all measurements, with separate topics and a separate consumer group for each."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bench.backlog import publish, rows
from producer.migrations import migrate
from sandbox.day.progress import Progress
from sandbox.processes import free_port
from sandbox.services import READY_WITHIN_S, Service, consumer, simulator
from sandbox.simulator import Simulator
from sandbox.stack import Stack, create_topics
from sandbox.variants.product import THIS, Version, older
from schemas.topics import Topics

PARTITIONS: Final = 12
LOOK_EVERY_S: Final = 0.5


class Bed:
    """The environment of the measurements. *say* reports progress."""

    def __init__(self, directory: Path, stack: Stack, say: Progress) -> None:
        self.directory: Final = directory
        self.stack: Final = stack
        self.say: Final = say
        self.simulator = stack.simulator
        self._portal: Final = AsyncExitStack()
        self._numbers = itertools.count(1)

    @cached_property
    def versions(self) -> tuple[Version, Version]:
        """The older version, which the first use prepares, and this one."""
        self.say("preparing the older version")
        folder = self.directory / "older"
        folder.mkdir()
        return older(folder), THIS

    async def close(self) -> None:
        await self._portal.aclose()

    async def new_simulator(self, **settings: Any) -> Mapping[str, str]:
        """Stop the previous simulator, start an empty portal, and return the services' environment for it."""
        await self.close()
        self.simulator = await self.portal(self._portal, **settings)
        return {**self.stack.environment, "HUBSPOT_API_BASE_URL": self.simulator.url}

    async def portal(self, services: AsyncExitStack, **settings: Any) -> Simulator:
        """Start an empty portal, which may be one of several, and which *services* stops."""
        process = simulator(self.directory, free_port())
        services.push_async_callback(process.stop)
        process.launch()
        portal = await services.enter_async_context(Simulator(process.url))
        await process.until(portal.answers, within_s=READY_WITHIN_S)
        await portal.change_settings(**settings)
        return portal

    async def new_outbox(self, name: str) -> Mapping[str, str]:
        """Make an empty database and topics of that name, and return the settings that lead services to both."""
        url = await self.stack.postgres.create_database(name)
        await asyncio.to_thread(migrate, url)
        topics = Topics(f"{name}.")
        await self.create_topics(topics)
        return {"DATABASE_URL": url, "KAFKA_TOPIC_PREFIX": topics.prefix, "CONSUMER_GROUP": name}

    async def backlog(self, events: int, contacts: int, *, poisoned: int = 0, **portal: Any) -> Mapping[str, str]:
        """Publish a backlog on new topics, start an empty portal, and return a consumer's environment for both."""
        published = await self.published(events, contacts, poisoned=poisoned)
        return {**await self.new_simulator(**portal), **published, "HUBSPOT_API_BASE_URL": self.simulator.url}

    async def published(self, events: int, contacts: int, *, poisoned: int = 0) -> Mapping[str, str]:
        """Publish a backlog on new topics, and return the environment of a consumer of them."""
        number = next(self._numbers)
        topics = Topics(f"bench{number}.")
        servers = self.stack.kafka.bootstrap_servers
        await self.create_topics(topics)
        self.say(f"publishing {events:,} events of {contacts:,} contacts")
        await publish(servers, topics, PARTITIONS, rows(events, contacts, poisoned=poisoned), self.say)
        return {
            **self.stack.environment,
            "KAFKA_TOPIC_PREFIX": topics.prefix,
            "CONSUMER_GROUP": f"bench{number}",
        }

    async def create_topics(self, topics: Topics) -> None:
        await create_topics(self.stack.kafka.bootstrap_servers, topics, PARTITIONS)

    @asynccontextmanager
    async def running_worker(self, environment: Mapping[str, str], version: Version = THIS) -> AsyncIterator[Service]:
        """Run one worker for the duration of the context."""
        worker = self.worker(environment, version)
        try:
            await worker.launch_and_wait()
            yield worker
        finally:
            await worker.stop()

    def worker(self, environment: Mapping[str, str], version: Version = THIS) -> Service:
        return consumer(self.directory, {**environment, "CONSUMER_PORT": str(free_port())}, version)

    async def until_held(self, events: int, *, within_s: float) -> float:
        """Wait until HubSpot has *events* timeline entries, at most *within_s*; return the seconds that passed."""
        began = time.monotonic()
        told = began
        while (held := await self.simulator.entries()) < events:
            if time.monotonic() - began > within_s:
                self.say(f"gave up at {held:,} of {events:,} events after {within_s:.0f} s")
                break
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(f"{held:,} of {events:,} events delivered")
            await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic() - began
