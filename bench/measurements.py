"""The measurements: each returns the rows of a table, which map names to figures.

The docstring of a measurement is the title of its table.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any, Final

from bench.backlog import rows
from bench.bed import Bed
from bench.contact_pages import contact_pages
from bench.faust_cost import faust_cost
from bench.outbox.pinned import relay_pinned
from bench.outbox.relaying import compression, relay_flat, relay_latency, relaying
from bench.outbox.tracking_cost import tracking_cost
from bench.outbox.wake_up import waking
from bench.receipts_cost import receipts
from bench.replaying import replay_beside, replaying
from bench.sizes import sizes
from bench.start_up import start_up
from bench.stopping import stopping
from bench.worker_cost import cpu_live, folding, memory
from producer.migrations import migrate
from sandbox.day.backend import Backend
from sandbox.day.ledger import Ledger
from sandbox.day.traffic import Day
from sandbox.services import Service, producer

Row = Mapping[str, Any]

QUOTA: Final = 100
WINDOW_S: Final = 10.0
# The share of events up to which the backlog fills the calls; the last calls are no longer full.
BACKLOGGED: Final = 0.95
# The usual duration of a HubSpot call.
LATENCY_MS: Final = 300


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


async def workers(bed: Bed) -> list[Row]:
    """Two workers, then three, then one, under a backlog that lasts for five minutes."""
    environment = await bed.backlog(900_000, 450_000, quota=QUOTA, latency_ms=LATENCY_MS)
    found: list[Row] = []
    running = [bed.worker(environment) for _ in range(3)]
    try:
        for number in (2, 3, 1):
            bed.say(f"{number} workers")
            await asyncio.gather(*(worker.stop() for worker in running[number:]))
            await asyncio.gather(*(worker.launch_and_wait() for worker in running[:number] if not worker.running))
            settled_s = await _until_settled(running[:number])
            found.append(await _calls_used(bed, number, 100) | {"rebalance took": f"{settled_s:.1f} s"})
    finally:
        await asyncio.gather(*(worker.stop() for worker in running))
    return found


async def _until_settled(workers: Sequence[Service]) -> float:
    """Wait until the workers' shares add up to the quota, and one window more; return the seconds before the window."""
    began = time.monotonic()

    async def shared() -> float:
        quotas = [(await worker.status()).get("quota") or {} for worker in workers]
        return sum(float(quota.get("share", 0)) for quota in quotas)

    while abs(await shared() - 1) > 0.01:  # noqa: ASYNC110 - polls other processes
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - began
    await asyncio.sleep(WINDOW_S)
    return seconds


async def _calls_used(bed: Bed, number: int, for_s: float) -> dict[str, Any]:
    began, before = time.monotonic(), await bed.simulator.statistics()
    await asyncio.sleep(for_s)
    seconds, after = time.monotonic() - began, await bed.simulator.statistics()
    calls = after["used_today"] - before["used_today"]
    return {
        "workers": number,
        "seconds": round(seconds),
        "calls": calls,
        "calls used of allowed": _percent(calls / (seconds * QUOTA / WINDOW_S)),
        "most calls in a window": after["most_calls_in_a_window"],
        "429s": after["rate_limited_by_quota"],
    }


async def latency(bed: Bed) -> list[Row]:
    """From the commit to the request at HubSpot, at ten events a second on an idle system, for a minute."""
    environment = await bed.new_simulator(quota=QUOTA, latency_ms=0)
    url = environment["DATABASE_URL"]
    await Ledger.install(url)
    relay = producer(bed.directory, environment)
    try:
        await relay.launch_and_wait()
        async with bed.running_worker(environment):
            await Backend(url, per_s=10).play(Day(600, 1, datetime.now(UTC)).happenings())
            await bed.until_held(599, within_s=60)
            ledger = await Ledger.read(url)
            seconds = ledger.latencies_s(await bed.simulator.accepted())
    finally:
        await relay.stop()
    cuts = quantiles(seconds, n=100)
    return [{"events": len(seconds), "p50 ms": round(cuts[49] * 1000, 1), "p99 ms": round(cuts[98] * 1000, 1)}]


async def faust(bed: Bed) -> list[Row]:
    """What an event costs in Faust, beside bare aiokafka with the same tracker."""
    environment = await bed.backlog(100_000, 20_000)
    return await faust_cost(environment)


async def tracking(bed: Bed) -> list[Row]:
    """What track_lifecycle_event adds to a transaction. Without fsync, whose wait would hide most of it."""
    url = await bed.stack.postgres.create_database("tracking")
    await asyncio.to_thread(migrate, url)
    return await tracking_cost(url, bed.directory, bed.say)


async def wake_up(bed: Bed) -> list[Row]:
    """NOTIFY only while the relay sleeps, beside NOTIFY in every transaction, and beside polling."""
    url = await bed.stack.postgres.create_database("wake_up")
    await asyncio.to_thread(migrate, url)
    return [await waking(url, bed.directory, bed.stack.postgres.pid, bed.say)]


async def startup(_: Bed) -> list[Row]:
    """What starting a command costs in CPU time, beside `import pydantic, httpx, aiokafka`."""
    return await asyncio.to_thread(start_up)


Measurement = Callable[[Bed], Awaitable[list[Row]]]

MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    measurement.__name__: measurement
    for measurement in (
        latency,
        drain,
        workers,
        memory,
        folding,
        cpu_live,
        faust,
        tracking,
        wake_up,
        relaying,
        relay_latency,
        relay_flat,
        relay_pinned,
        compression,
        replaying,
        replay_beside,
        stopping,
        contact_pages,
        receipts,
        sizes,
        startup,
    )
}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
