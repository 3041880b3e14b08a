"""A trial: a stack of one cell's servers, a day of traffic, and a second day in which both servers are killed."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sandbox.day.backend import Backend
from sandbox.day.dead_letters import read_dead_letters
from sandbox.day.ledger import Ledger
from sandbox.day.summary import Summary
from sandbox.day.traffic import Day
from sandbox.services import consumer, producer
from sandbox.stack import Stack
from sandbox.variants.versions import Variant
from schemas.topics import Topics

EVENTS: Final = 300
COMMITS_PER_S: Final = 100.0
OUTAGE_S: Final = 2
LOOK_EVERY_S: Final = 0.5
# A worker that lost its broker may be a member of the group again after 10 s, and its backoff goes up to 30 s.
ARRIVE_WITHIN_S: Final = 90.0


@dataclass(frozen=True)
class Outcome:
    """What a cell's trial has shown, and the servers' versions as the doctor told them."""

    servers: str
    demo: bool
    order: bool
    failover: bool
    seconds: float
    remarks: str = ""

    @property
    def passed(self) -> bool:
        return self.demo and self.order and self.failover


class Trial:
    """One cell's stack, with its data in *directory*."""

    def __init__(self, directory: Path, variant: Variant) -> None:
        self._directory: Final = directory
        self._stack: Final = Stack(directory, variant=variant)

    async def run(self) -> Outcome:
        """Start everything, play both days, and return what became of them. Raises ProcessFailed."""
        began = asyncio.get_running_loop().time()
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self._stack)
            await Ledger.install(self._stack.direct_url)
            services = [make(self._directory, self._stack.environment) for make in (producer, consumer)]
            for service in services:
                opened.push_async_callback(service.stop)
            await asyncio.gather(*(service.launch_and_wait() for service in services))
            servers = await self._servers()
            first = await self._first_day()
            second = await self._second_day()
        return Outcome(
            servers=servers,
            demo=_all_arrived(first) and not first.rate_limited,
            order=not first.order_violations,
            failover=_all_arrived(second) and not second.order_violations,
            seconds=round(asyncio.get_running_loop().time() - began, 1),
            remarks="; ".join(filter(None, (_wrong("demo", first), _wrong("failover", second)))),
        )

    async def _first_day(self) -> Summary:
        """Play a day, with an outage of HubSpot's."""
        outage = {"answer": {"kind": "status", "status": 503, "style": "html"}, "when": {"for_s": OUTAGE_S}}
        await asyncio.gather(self._play(seed=1), self._stack.simulator.add_fault(outage))
        return await self._accounted_for()

    async def _second_day(self) -> Summary:
        """Play another day; kill PostgreSQL, and then Kafka, in the middle."""
        playing = asyncio.create_task(self._play(seed=2))
        for server in (self._stack.postgres, self._stack.kafka):
            await asyncio.sleep(EVENTS / COMMITS_PER_S / 3)
            await server.kill()
            await server.start()
        await playing
        return await self._accounted_for()

    async def _play(self, seed: int) -> None:
        day = Day(EVENTS, seed, datetime.now(UTC)).happenings()
        url = self._stack.environment["DATABASE_URL"]
        await Backend(url, COMMITS_PER_S, prepares=self._stack.prepares).play(day)

    async def _accounted_for(self) -> Summary:
        """Return the summary when every committed event has arrived in order, or when the time is up."""
        deadline = asyncio.get_running_loop().time() + ARRIVE_WITHIN_S
        while True:
            summary = Summary.of(
                await Ledger.read(self._stack.direct_url),
                await self._stack.simulator.accepted(),
                await read_dead_letters(self._stack.kafka.bootstrap_servers, Topics().dead_letters),
                await self._stack.simulator.statistics(),
            )
            if summary.clean or asyncio.get_running_loop().time() > deadline:
                return summary
            await asyncio.sleep(LOOK_EVERY_S)

    async def _servers(self) -> str:
        """Return the servers' versions as the doctor finds them."""
        command = [sys.executable, "-m", "hubspot_consumer", "doctor", "--offline", "--json"]
        doctor = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **self._stack.environment}, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await doctor.communicate()
        findings = {finding["name"]: finding for finding in json.loads(said)["findings"]}
        versions = [findings[name] for name in ("postgres_version", "kafka_version")]
        return ", ".join(f"{one['what'].partition(';')[0]}{' !' * (one['level'] != 'ok')}" for one in versions)


def _all_arrived(summary: Summary) -> bool:
    findings = summary.findings
    arrived = summary.committed == summary.delivered + summary.dead_lettered.total()
    return arrived and not findings.lost and not findings.doubled


def _wrong(part: str, summary: Summary) -> str:
    """Return what is wrong with a day, in a few words; empty if nothing is."""
    if summary.clean:
        return ""
    return (
        f"{part}: {len(summary.findings.lost)} lost, {len(summary.findings.doubled)} doubled, "
        f"{summary.order_violations} out of order of {summary.committed} events"
    )
