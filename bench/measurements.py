"""The measurements: each returns the rows of a table, which map names to figures.

The docstring of a measurement is the title of its table.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from bench.bed import Bed
from bench.contact_pages import contact_pages
from bench.dead_letters_page import dead_letters_page
from bench.delivery.latency import latency
from bench.delivery.pacing import calls_used, drain
from bench.outbox.pinned import relay_pinned
from bench.outbox.relaying import compression, relay_flat, relay_latency, relaying
from bench.outbox.tracking_cost import CONTACTS, migrated, tracking_cost
from bench.outbox.wake_up import waking
from bench.replaying import replay_beside, replay_writing, replaying
from bench.sizes import sizes
from bench.start_up import start_up
from bench.stopping import stopping
from bench.worker.faust_cost import faust_cost
from bench.worker.receipts_cost import receipts
from bench.worker.worker_cost import cpu_live, folding, memory
from producer.migrations import migrate
from sandbox.variants.product import THIS

Row = Mapping[str, Any]


async def faust(bed: Bed) -> list[Row]:
    """What an event costs in Faust, beside bare aiokafka with the same tracker."""
    environment = await bed.backlog(100_000, 20_000)
    return await faust_cost(environment)


async def tracking(bed: Bed) -> list[Row]:
    """What track_lifecycle_event adds to a transaction, 16 clients. Without fsync, whose wait would hide most of it."""
    urls = {version.name: await migrated(bed, "tracking", version) for version in bed.versions}
    return await tracking_cost(urls, bed.directory, bed.say)


async def tracking_few(bed: Bed) -> list[Row]:
    """What track_lifecycle_event adds with one client, and to one contact."""
    urls = {THIS.name: await migrated(bed, "tracking_few", THIS)}
    return await tracking_cost(urls, bed.directory, bed.say, ((1, CONTACTS), (1, 1), (16, 1)))


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
        calls_used,
        drain,
        latency,
        memory,
        folding,
        cpu_live,
        faust,
        tracking,
        tracking_few,
        wake_up,
        relaying,
        relay_latency,
        relay_flat,
        relay_pinned,
        compression,
        replaying,
        replay_writing,
        replay_beside,
        stopping,
        contact_pages,
        dead_letters_page,
        receipts,
        sizes,
        startup,
    )
}
