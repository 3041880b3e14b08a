"""Pacing: the calls to HubSpot of those that the quota allows, while a backlog lasts."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from bench.backlog import rows, steadily
from bench.bed import PARTITIONS, Bed
from sandbox.services import Service
from sandbox.simulator import Simulator
from sandbox.variants.product import Version
from schemas.topics import Topics

Row = Mapping[str, Any]

QUOTA: Final = 100
WINDOW_S: Final = 10.0
# The share of events up to which the backlog fills the calls; the last calls are no longer full.
BACKLOGGED: Final = 0.95
# The usual duration of a HubSpot call.
LATENCY_MS: Final = 300
# The most workers come first: those that go on know how long HubSpot's calls take, and each process starts once.
WORKERS: Final = (8, 3, 2, 1)
# Each call has something to send, and none is full: the two versions would be busy with a hundred contacts in each.
EVENTS_PER_S: Final = 60
CONTACTS: Final = 5_000
# The workers have learned by then how long calls take.
LEARN_S: Final = 120.0
SETTLE_S: Final = 12.0
MEASURE_S: Final = 30.0


@dataclass(frozen=True)
class _Group:
    """The workers of one version, with a portal and a backlog of their own."""

    version: Version
    portal: Simulator
    workers: Sequence[Service]

    async def keep(self, number: int) -> None:
        """Stop all but *number* workers."""
        await asyncio.gather(*(worker.stop() for worker in self.workers[number:]))

    async def settled(self, number: int) -> None:
        """Return when the shares of *number* workers add up to the quota."""
        while True:
            quotas = [(await worker.status()).get("quota") or {} for worker in self.workers[:number]]
            if abs(sum(float(quota.get("share", 0)) for quota in quotas) - 1) < 0.01:
                return
            await asyncio.sleep(0.1)

    async def measure(self, number: int) -> Row:
        began, before = time.monotonic(), await self.portal.statistics()
        await asyncio.sleep(MEASURE_S)
        seconds, after = time.monotonic() - began, await self.portal.statistics()
        return {
            "version": self.version.name,
            "workers": number,
            "calls used of allowed": _percent(
                (after["used_today"] - before["used_today"]) / (seconds * QUOTA / WINDOW_S)
            ),
            "most calls in a window": after["most_calls_in_a_window"],
            "429s": after["rate_limited_by_quota"],
        }


async def calls_used(bed: Bed) -> list[Row]:
    """Calls used of those allowed in three windows, with six events for each; both versions at the same time."""
    found: list[Row] = []
    async with AsyncExitStack() as services:
        groups = [await _group(bed, version, services) for version in bed.versions]
        for number in WORKERS:
            bed.say(f"{number} workers of each version")
            await asyncio.gather(*(group.keep(number) for group in groups))
            await asyncio.gather(*(group.settled(number) for group in groups))
            await asyncio.sleep(LEARN_S if number == max(WORKERS) else SETTLE_S)
            found += await asyncio.gather(*(group.measure(number) for group in groups))
    return sorted(found, key=lambda row: int(row["workers"]))


async def _group(bed: Bed, version: Version, services: AsyncExitStack) -> _Group:
    environment = await bed.published(EVENTS_PER_S, CONTACTS)
    publishing = asyncio.create_task(_publish(bed, environment))
    services.callback(publishing.cancel)
    portal = await bed.portal(services, quota=QUOTA, latency_ms=LATENCY_MS)
    workers = [bed.worker({**environment, "HUBSPOT_API_BASE_URL": portal.url}, version) for _ in range(max(WORKERS))]
    for worker in workers:
        services.push_async_callback(worker.stop)
        worker.launch()
    return _Group(version, portal, workers)


async def _publish(bed: Bed, environment: Mapping[str, str]) -> None:
    made = islice(rows(10**9, CONTACTS), EVENTS_PER_S, None)
    topics, servers = Topics(environment["KAFKA_TOPIC_PREFIX"]), bed.stack.kafka.bootstrap_servers
    async for _ in steadily(servers, topics, PARTITIONS, made, EVENTS_PER_S):
        pass


async def drain(bed: Bed) -> list[Row]:
    """How a backlog of 100,000 events drains, beside the ceiling of 100 contacts in each call allowed."""
    return [
        await _drained(bed, 100_000, 20_000),
        await _drained(bed, 100_000, 20_000, poisoned=8),
        await _drained(bed, 100_000, 2_000),
    ]


async def _drained(bed: Bed, events: int, contacts: int, *, poisoned: int = 0) -> Row:
    environment = await bed.backlog(events, contacts, poisoned=poisoned, quota=QUOTA, latency_ms=LATENCY_MS)
    refused = sum((row.key or "").endswith(".con") for row in rows(events, contacts, poisoned=poisoned))
    async with bed.running_worker(environment):
        await bed.until_held(1, within_s=60)
        before = await bed.simulator.statistics()
        backlog_s = await bed.until_held(int(BACKLOGGED * (events - refused)), within_s=400)
        after = await bed.simulator.statistics()
        writes = await _writes(bed)
        rest_s = await bed.until_held(events - refused, within_s=100)
    calls = after["used_today"] - before["used_today"]
    return {
        "events": events,
        "contacts": contacts,
        "poisoned contacts": poisoned,
        "seconds": round(backlog_s + rest_s, 1),
        "calls": calls,
        "calls used of allowed": _percent(calls / (backlog_s * QUOTA / WINDOW_S)),
        "contacts written per call": round(writes / calls, 1),
        "of 100 in each call allowed": _percent(writes / (backlog_s * QUOTA / WINDOW_S * 100)),
        "events per call": round(after["occurrences"] / calls, 1),
        "events/s": round(after["occurrences"] / backlog_s),
        "429s": after["rate_limited_by_quota"],
    }


async def _writes(bed: Bed) -> int:
    return sum(len(contact["writes"]) for contact in (await bed.simulator.accepted()).contacts.values())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
