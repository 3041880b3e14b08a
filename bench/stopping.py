"""Stopping: repeatedly sends SIGTERM to both services during their work."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from statistics import median
from typing import Any, Final, NoReturn

from bench.bed import Bed
from producer.migrations import migrate
from sandbox.day.backend import Backend
from sandbox.day.repeats import to_deliver_again, to_publish_again
from sandbox.day.traffic import Day
from sandbox.services import Service, producer
from sandbox.simulator import Simulator
from schemas.topics import Topics

Row = Mapping[str, Any]

EVENTS_PER_S: Final = 300
STOPS: Final = 12
DAY_S: Final = 20
# The bounds of the time between two stops, after the services have caught up.
WORKED_S: Final = (2.0, 10.0)
QUOTA: Final = 100
LATENCY_MS: Final = 300
CATCH_UP_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Stop:
    """One SIGTERM: the exit code, the seconds until the exit, and the events that the next start repeats."""

    code: int | None
    seconds: float
    repeats: int

    def __str__(self) -> str:
        return f"{self.code} after {self.seconds:.1f} s, {self.repeats} repeated"


async def stopping(bed: Bed) -> list[Row]:
    """SIGTERM at random moments, at 300 events/s: how each service ends, and what its next start repeats."""
    environment = await _environment(bed)
    url, topics = environment["DATABASE_URL"], Topics(environment["KAFKA_TOPIC_PREFIX"])
    relay, worker = producer(bed.directory, environment), bed.worker(environment)
    chance = Random(1)  # noqa: S311 - must be repeatable, not secret
    relay_stops, worker_stops = [], []
    backend = Backend(url, EVENTS_PER_S)
    try:
        await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
        playing = asyncio.create_task(_play(backend))
        for number in range(STOPS):
            await _until_caught_up(bed.simulator, backend)
            await asyncio.sleep(chance.uniform(*WORKED_S))
            (code, seconds), ended = await asyncio.gather(_stopped(relay), _stopped(worker))
            # After this wait, HubSpot has completed all calls, also those whose answers the worker did not receive.
            await asyncio.sleep(LATENCY_MS / 1000)
            servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
            published = await to_publish_again(servers, topics, url)
            relay_stops.append(Stop(code, seconds, len(published)))
            accepted = await bed.simulator.accepted()
            delivered = await to_deliver_again(servers, topics, environment["CONSUMER_GROUP"], accepted)
            worker_stops.append(Stop(*ended, len(delivered)))
            bed.say(f"stop {number + 1} of {STOPS}: relay {relay_stops[-1]}, worker {worker_stops[-1]}")
            await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
        playing.cancel()
        await asyncio.wait([playing])
        await _until_caught_up(bed.simulator, backend)
    finally:
        await asyncio.gather(relay.stop(), worker.stop())
    return [_row("relay", relay_stops), _row("worker", worker_stops)]


async def _environment(bed: Bed) -> Mapping[str, str]:
    url = await bed.stack.postgres.create_database("stopping")
    await asyncio.to_thread(migrate, url)
    topics = Topics("stopping.")
    await bed.create_topics(topics)
    portal = await bed.new_simulator(quota=QUOTA, latency_ms=LATENCY_MS)
    return {**portal, "DATABASE_URL": url, "KAFKA_TOPIC_PREFIX": topics.prefix, "CONSUMER_GROUP": "stopping"}


async def _play(backend: Backend) -> NoReturn:
    # The same short day is repeated: a longer one would keep events parked for most of its time. The poisoned event is
    # omitted: its many dead letters would halt the worker, and its contact's waiting after a start has its own limit.
    day = [one for one in Day(EVENTS_PER_S * DAY_S, 1, datetime.now(UTC)).happenings() if not one.poisoned]
    while True:
        await backend.play(day)


async def _until_caught_up(simulator: Simulator, backend: Backend) -> None:
    """Return when HubSpot has all committed events except those of about one second."""
    async with asyncio.timeout(CATCH_UP_WITHIN_S):
        while await simulator.entries() < backend.committed - EVENTS_PER_S:  # noqa: ASYNC110 - polls other processes
            await asyncio.sleep(0.2)


async def _stopped(service: Service) -> tuple[int | None, float]:
    began = time.monotonic()
    code = await service.stop(within_s=60)
    return code, time.monotonic() - began


def _row(service: str, stops: Sequence[Stop]) -> Row:
    repeats = [stop.repeats for stop in stops]
    return {
        "service": service,
        "stops": len(stops),
        "exit codes": ", ".join(sorted({str(stop.code) for stop in stops})),
        "seconds to exit, median": round(median(stop.seconds for stop in stops), 2),
        "seconds to exit, most": round(max(stop.seconds for stop in stops), 2),
        "events repeated, median": round(median(repeats)),
        "events repeated, most": max(repeats),
        "seconds of work repeated, most": round(max(repeats) / EVENTS_PER_S, 2),
    }
