"""Latency: from the commit of an event to its timeline entry in HubSpot."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any, Final

from bench.bed import Bed
from sandbox.day.backend import Backend
from sandbox.day.ledger import Ledger
from sandbox.day.traffic import Day, Happening
from sandbox.processes import free_port
from sandbox.services import producer
from sandbox.simulator import Simulator
from sandbox.variants.product import Version

Row = Mapping[str, Any]

# Ten events a second on an idle system; and sixty, which is below the ceiling of a quota of 100 calls in 10 s.
RATES: Final = (10, 60)
RUNS: Final = 3
SECONDS: Final = 20
# So many events have about 600 contacts.
EVENTS: Final = 6_600
# The window of the quota after the start, in which calls are spaced wider.
STARTED_S: Final = 12.0
GIVE_UP_S: Final = 20.0


@dataclass(frozen=True)
class _Path:
    """The path of a version from its database to its portal."""

    version: Version
    database_url: str
    portal: Simulator

    async def latencies_s(self, happenings: Sequence[Happening], per_s: int) -> list[float]:
        """Commit events, and return the seconds that each took."""
        began = datetime.now(UTC)
        await Backend(self.database_url, per_s).play(happenings)
        ledger = await Ledger.read(self.database_url)
        committed = [event for event in ledger.events.values() if event.committed_at >= began]
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            accepted = dict((await self.portal.accepted()).entries)
            found = [event for event in committed if event.id in accepted]
            # One event of the day is rejected.
            if len(found) >= len(committed) - 1 or time.monotonic() > give_up:
                return [(accepted[event.id] - event.committed_at).total_seconds() for event in found]
            await asyncio.sleep(0.5)


async def latency(bed: Bed) -> list[Row]:
    """From the commit to the request at HubSpot, of 600 contacts' events; both versions in turns."""
    happenings = iter(Day(EVENTS, 1, datetime.now(UTC)).happenings())
    found: defaultdict[tuple[Version, int], list[list[float]]] = defaultdict(list)
    async with AsyncExitStack() as services:
        paths = [await _path(bed, version, services) for version in bed.versions]
        await asyncio.sleep(STARTED_S)
        for per_s in RATES:
            for run in range(RUNS):
                events = [next(happenings) for _ in range(per_s * SECONDS)]
                for path in paths:
                    bed.say(f"{per_s} events a second, run {run + 1}, {path.version.name}")
                    found[path.version, per_s].append(await path.latencies_s(events, per_s))
    return [_row(version, per_s, runs) for (version, per_s), runs in found.items()]


def _row(version: Version, per_s: int, runs: Sequence[Sequence[float]]) -> Row:
    cuts = [quantiles(run, n=100) for run in runs]
    return {
        "version": version.name,
        "events/s": per_s,
        "events": sum(len(run) for run in runs),
        **{f"p{cut} ms": round(median(of[cut - 1] for of in cuts) * 1000, 1) for cut in (50, 90, 99)},
    }


async def _path(bed: Bed, version: Version, services: AsyncExitStack) -> _Path:
    name = f"latency{bed.versions.index(version)}"
    outbox = await bed.new_outbox(name)
    await Ledger.install(outbox["DATABASE_URL"])
    portal = await bed.portal(services, quota=100, latency_ms=0)
    own = {"PRODUCER_PORT": str(free_port()), "HUBSPOT_API_BASE_URL": portal.url}
    environment = {**bed.stack.environment, **outbox, **own}
    for service in (producer(bed.directory, environment, version), bed.worker(environment, version)):
        services.push_async_callback(service.stop)
        await service.launch_and_wait()
    return _Path(version, outbox["DATABASE_URL"], portal)
