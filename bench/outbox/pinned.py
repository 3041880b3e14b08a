"""An idle relay beside deleted rows that a long transaction keeps from vacuum, and the same relay without them."""

import asyncio
import time
from collections.abc import Mapping
from statistics import quantiles
from typing import Any, Final

import psycopg

from bench.bed import PARTITIONS, Bed
from bench.outbox.publishers import OurRelay
from bench.outbox.relaying import FILL, TRACK, Reader
from producer.migrations import migrate
from sandbox.stack import create_topics
from schemas.topics import Topics

DEAD: Final = 2_000_000
AT_ONCE: Final = 100_000
# The outbox is empty between two events, and the relay sleeps. A minute has several looks at the backlog.
EVENTS: Final = 200
EVERY_S: Final = 0.3
WARM_UP_S: Final = 10.0


async def relay_pinned(bed: Bed) -> list[Mapping[str, Any]]:
    """From the commit to the consumer at an idle outbox, with 2,000,000 deleted rows pinned and without."""
    found = [await _latency(bed, dead) for dead in (0, DEAD)]
    return [{**one, "p50, of that without": round(one["p50 ms"] / found[0]["p50 ms"], 2)} for one in found]


async def _latency(bed: Bed, dead: int) -> dict[str, Any]:
    topics, servers = Topics(f"pinned{dead}."), bed.stack.kafka.bootstrap_servers
    url = await bed.stack.postgres.create_database(f"pinned_{dead}")
    await asyncio.to_thread(migrate, url)
    await create_topics(servers, topics, PARTITIONS)
    relay = OurRelay(bed.directory, {**bed.stack.environment, "DATABASE_URL": url}, topics)
    async with (
        await psycopg.AsyncConnection.connect(url) as long,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as backend,
        Reader(servers, topics) as reader,
    ):
        await long.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await long.execute("SELECT count(*) FROM outbox_events")
        bed.say(f"{dead:,} rows that are deleted and can't be removed")
        for first in range(0, dead, AT_ONCE):
            await backend.execute(FILL.format(contacts=AT_ONCE, first=first, last=first + AT_ONCE - 1).encode())
            await backend.execute("DELETE FROM outbox_events")
        await relay.start()
        try:
            await asyncio.sleep(WARM_UP_S)
            await _commit(backend, int(WARM_UP_S / EVERY_S))
            reader.keep_arrivals = True
            committed = await _commit(backend, EVENTS)
            await asyncio.sleep(WARM_UP_S)
        finally:
            await relay.stop()
    cuts = quantiles((reader.arrivals[event_id] - at for event_id, at in committed.items()), n=100)
    return {"deleted rows": dead, "p50 ms": round(cuts[49] * 1000, 1), "p90 ms": round(cuts[89] * 1000, 1)}


async def _commit(backend: psycopg.AsyncConnection[Any], events: int) -> dict[bytes, float]:
    committed: dict[bytes, float] = {}
    for number in range(events):
        await asyncio.sleep(EVERY_S)
        found = await (await backend.execute(TRACK, [f"contact{number}@example.com", f"usr_{number}"])).fetchone()
        committed[found[0].encode() if found else b""] = time.monotonic()
    return committed
