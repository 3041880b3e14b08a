"""What a worker costs: events a second where contacts have many events each, memory by backlog, and CPU while live."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from bench.bed import Bed
from bench.usage import cpu_s, peak_memory_mb
from sandbox.day.backend import Backend
from sandbox.day.traffic import Day
from sandbox.services import Service, producer
from sandbox.variants.product import Version

Row = Mapping[str, Any]

# The most that HUBSPOT_RATE_LIMIT takes: the quota limits nothing.
NO_QUOTA: Final = 10_000
LATENCY_MS: Final = 50
RUNS: Final = 3
WARM_UP_EVENTS: Final = 5_000
FOLDING_S: Final = 12.0
DRAINED: Final = 100_000
PER_S: Final = 300
LIVE_S: Final = 15.0
SETTLED_S: Final = 5.0
# The highest burst quota that HubSpot sells.
LIVE_QUOTA: Final = 190


async def folding(bed: Bed) -> list[Row]:
    """One worker with a backlog of 1,000,000 events of 1,000 contacts and no quota: both versions three times."""
    environment = await bed.backlog(1_000_000, 1_000)
    found: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for run in range(RUNS):
        for version in bed.versions:
            found[version.name].append(await _folded(bed, environment, version, run))
            bed.say(f"{version.name}: {found[version.name][-1]['events/s']:,.0f} events/s")
    return [{"version": name, **_medians(runs)} for name, runs in found.items()]


async def _folded(bed: Bed, environment: Mapping[str, str], version: Version, run: int) -> Mapping[str, float]:
    """Let a new group drain from the beginning; return the figures of FOLDING_S after the warm-up."""
    own = await _without_quota(bed, environment, f"{version.name.replace(' ', '-')}-{run}")
    async with bed.running_worker(own, version) as worker:
        await bed.until_held(WARM_UP_EVENTS, within_s=60)
        began, before_s, held = time.monotonic(), cpu_s(worker.pid), await bed.simulator.entries()
        await asyncio.sleep(FOLDING_S)
        events, used_s = await bed.simulator.entries() - held, cpu_s(worker.pid) - before_s
        return {
            "events/s": round(events / (time.monotonic() - began)),
            "CPU us per event": round(used_s / events * 1e6),
            "peak MB": round(peak_memory_mb(worker.pid)),
        }


async def memory(bed: Bed) -> list[Row]:
    """The worker's peak memory at a backlog of 10,000 events, and when it has drained 100,000 of 1,000,000."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for backlog, drained in ((10_000, 10_000), (1_000_000, DRAINED)):
        environment = await bed.backlog(backlog, 20_000)
        for version in bed.versions:
            own = await _without_quota(bed, environment, version.name.replace(" ", "-"))
            async with bed.running_worker(own, version) as worker:
                await bed.until_held(drained, within_s=120)
                found[version.name].append(peak_memory_mb(worker.pid))
    return [
        {
            "version": name,
            "peak MB at 10,000": round(small),
            "peak MB at 1,000,000": round(large),
            "of that at 10,000": round(large / small, 2),
        }
        for name, (small, large) in found.items()
    ]


async def cpu_live(bed: Bed) -> list[Row]:
    """CPU of worker and relay at 300 events a second through the outbox, caught up: both versions three times."""
    found: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for run in range(RUNS):
        for number, version in enumerate(bed.versions):
            own = await _new_outbox(bed, f"live{run}{number}")
            relay = producer(bed.directory, own, version)
            try:
                await relay.launch_and_wait()
                async with bed.running_worker(own, version) as worker:
                    found[version.name].append(await _live(bed, own["DATABASE_URL"], worker, relay))
            finally:
                await relay.stop()
    return [{"version": name, **_medians(runs)} for name, runs in found.items()]


async def _new_outbox(bed: Bed, name: str) -> Mapping[str, str]:
    """Return the services' environment for an empty database, new topics and an empty portal."""
    portal = await bed.new_simulator(quota=LIVE_QUOTA, latency_ms=LATENCY_MS)
    return {**portal, **await bed.new_outbox(name), "HUBSPOT_RATE_LIMIT": str(LIVE_QUOTA)}


async def _live(bed: Bed, database_url: str, worker: Service, relay: Service) -> Mapping[str, float]:
    """Return what both use while events come evenly."""
    day = Day(round(PER_S * (LIVE_S + SETTLED_S)), time.time_ns(), datetime.now(UTC)).happenings()
    playing = asyncio.create_task(Backend(database_url, per_s=PER_S).play(day))
    await asyncio.sleep(SETTLED_S)
    before, held = (cpu_s(worker.pid), cpu_s(relay.pid)), await bed.simulator.entries()
    began = time.monotonic()
    await playing
    seconds, events = time.monotonic() - began, await bed.simulator.entries() - held
    return {
        "events/s": round(events / seconds),
        "worker, CPU % of a core": round(100 * (cpu_s(worker.pid) - before[0]) / seconds, 1),
        "relay, CPU % of a core": round(100 * (cpu_s(relay.pid) - before[1]) / seconds, 1),
    }


async def _without_quota(bed: Bed, environment: Mapping[str, str], group: str) -> Mapping[str, str]:
    """Return a worker's environment for an empty portal without a limit, and a group that has read nothing."""
    portal = await bed.new_simulator(quota=NO_QUOTA, latency_ms=LATENCY_MS)
    own = {"CONSUMER_GROUP": f"{environment['CONSUMER_GROUP']}-{group}", "HUBSPOT_RATE_LIMIT": str(NO_QUOTA)}
    return {**environment, **portal, **own}


def _medians(runs: list[Mapping[str, float]]) -> Mapping[str, float]:
    return {figure: median(run[figure] for run in runs) for figure in runs[0]}
