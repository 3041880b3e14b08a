"""The cost of receipts: compares a worker with receipts to one without, at a backlog with a quota that never limits."""

import asyncio
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from bench.bed import Bed
from bench.usage import cpu_s
from sandbox.services import Service
from sandbox.variants.product import Version

Row = Mapping[str, Any]

EVENTS: Final = 30_000
CONTACTS: Final = 6_000
QUOTA: Final = 5_000
LATENCY_MS: Final = 50
# Runs with and without receipts alternate, so that other load on the machine affects both alike.
PAIRS: Final = 3


async def receipts(bed: Bed) -> list[Row]:
    """A backlog of 30,000 events with and without receipts, three times in turns, by both versions."""
    environment = await bed.backlog(EVENTS, CONTACTS)
    measured: dict[tuple[str, bool], list[float]] = {}
    for run in range(PAIRS):
        for version in bed.versions:
            for on in (True, False):
                used_s = await _drained(bed, environment, version, f"{run}-{on}", on=on)
                measured.setdefault((version.name, on), []).append(used_s)
    rows: list[Row] = []
    for version in bed.versions:
        on_s, off_s = (median(measured[version.name, on]) for on in (True, False))
        rows.append(
            {
                "version": version.name,
                "events": EVENTS,
                "CPU us per event, with receipts": round(on_s / EVENTS * 1e6),
                "without": round(off_s / EVENTS * 1e6),
                "receipts' share of CPU": f"{100 * (1 - off_s / on_s):.0f} %",
            }
        )
    return rows


async def _drained(bed: Bed, environment: Mapping[str, str], version: Version, name: str, *, on: bool) -> float:
    """Return the CPU seconds of a worker that drains the backlog, of a new group and into an empty portal."""
    portal = await bed.new_simulator(quota=QUOTA, latency_ms=LATENCY_MS)
    own = {
        "CONSUMER_GROUP": f"{environment['CONSUMER_GROUP']}-{version.name.replace(' ', '-')}-{name}",
        "HUBSPOT_RATE_LIMIT": str(QUOTA),
        "DELIVERY_RECEIPTS": str(on).lower(),
    }
    async with bed.running_worker({**environment, **portal, **own}, version) as worker:
        await bed.until_held(1, within_s=60)
        before = cpu_s(worker.pid)
        await bed.until_held(EVENTS, within_s=300)
        if on:
            await _until_written(worker)
        used_s = cpu_s(worker.pid) - before
    bed.say(f"{version.name}, receipts {'on' if on else 'off'}: {used_s:.1f} s of CPU")
    return used_s


async def _until_written(worker: Service) -> None:
    while (await worker.status())["receipts"]["written"] < EVENTS:  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(0.2)
