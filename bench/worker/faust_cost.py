"""Faust's cost: compares reading and acking events in our worker with bare aiokafka and the same offset tracker.

`python -m bench.worker.faust_cost` is one reader's process: Faust decides at its import whether its C extensions take
part.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from hubspot_consumer.kafka import faust_worker
from hubspot_consumer.kafka.faust_worker import FaustWorker
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.settings import Settings
from runtime.clock import SystemClock
from runtime.health import Health

EVENTS: Final = 100_000


# Faust has no wheel for Linux on arm64, and is built there without its extensions.
WITHOUT_EXTENSIONS: Final = {"NO_CYTHON": "1"}
# Variables of a reader's process.
LARGER: Final = "BENCH_LARGER_FETCHES"
UVLOOP: Final = "BENCH_UVLOOP"


async def faust_cost(environment: Mapping[str, str]) -> list[Mapping[str, Any]]:
    variants = {
        "aiokafka": ("aiokafka", {}),
        "Faust": ("Faust", {}),
        "Faust as pure Python": ("Faust", WITHOUT_EXTENSIONS),
    }
    variants["Faust, fetches of 5,000 records"] = "Faust", {LARGER: "1"}
    # It is no dependency: `uv pip install uvloop` lets it be measured.
    if find_spec("uvloop"):
        variants |= {f"{reader} on uvloop": (reader, {UVLOOP: "1"}) for reader in ("aiokafka", "Faust")}
    found = {name: await _in_a_process(reader, {**environment, **own}) for name, (reader, own) in variants.items()}
    bare = found["aiokafka"]
    return [
        {
            "reader": reader,
            "events/s": round(EVENTS / seconds),
            # Where others use the machine, this one differs less from run to run.
            "events per second of CPU": round(EVENTS / cpu_s),
            "of aiokafka": round(bare[1] / cpu_s, 3),
        }
        for reader, (seconds, cpu_s) in found.items()
    ]


async def _in_a_process(reader: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return how many seconds the reader took, and how many of CPU."""
    # Each reader reads as a group of its own, from the beginning.
    own = {**os.environ, **environment, "CONSUMER_GROUP": f"{reader}-{time.time_ns()}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.worker.faust_cost", reader, env=own, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    seconds, cpu_s = said.split()[-2:]
    return float(seconds), float(cpu_s)


async def _bare(settings: Settings) -> float:
    offsets, read = Offsets(), 0
    consumer = AIOKafkaConsumer(
        *settings.topics.events,
        **settings.client_options(),
        group_id=settings.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        began = time.monotonic()
        while read < EVENTS:
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                if offsets.next_of(partition) is None:
                    offsets.restart(partition, records[0].offset)
                for record in records:
                    offsets.begin(partition, record.offset)()
                    read += 1
            await consumer.commit()
        return time.monotonic() - began
    finally:
        await consumer.stop()


async def _faust(settings: Settings) -> float:
    offsets, done = Offsets(), asyncio.Event()
    read, began = 0, 0.0

    async def take(record: Record) -> None:
        nonlocal read, began
        began = began or time.monotonic()
        offsets.begin(record.topic_partition, record.offset)()
        read += 1
        if read == EVENTS:
            done.set()

    async def nothing() -> None:
        return None

    clock, group = SystemClock(), settings.group
    positions, lag = Positions(clock, print), Lag(settings.client_options(), group, settings.topics.events)
    gaps = Gaps(offsets=offsets, positions=positions, lag=lag, health=Health(), waited=lambda: False)
    worker = FaustWorker(
        settings,
        group,
        lease=Lease(clock),
        offsets=offsets,
        positions=positions,
        gaps=gaps,
        take=take,
        revoked=nothing,
        dropped=lambda: None,
        assigned=lambda _: nothing(),
    )
    await worker.start()
    try:
        await done.wait()
        return time.monotonic() - began
    finally:
        await worker.stop()


if __name__ == "__main__":
    if LARGER in os.environ:
        vars(faust_worker)["MOST_RECORDS_OF_A_FETCH"] = 5_000
    if UVLOOP in os.environ:
        import_module("uvloop").install()
    reader = {"aiokafka": _bare, "Faust": _faust}[sys.argv[1]]
    seconds = asyncio.run(reader(Settings()))
    sys.stdout.write(f"{seconds} {time.process_time()}\n")
