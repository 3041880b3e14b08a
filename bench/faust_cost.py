"""Faust's cost: compares reading and acking events in our worker with bare aiokafka and the same offset tracker."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

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


async def faust_cost(environment: Mapping[str, str]) -> list[Mapping[str, Any]]:
    # The settings are not set in os.environ, since the services of the next measurement would inherit them.
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    bare_s, faust_s = await _bare(settings), await _faust(settings)
    return [
        {"reader": "aiokafka", "events/s": round(EVENTS / bare_s), "of aiokafka": 1.0},
        {"reader": "Faust", "events/s": round(EVENTS / faust_s), "of aiokafka": round(bare_s / faust_s, 3)},
    ]


async def _bare(settings: Settings) -> float:
    offsets, read = Offsets(), 0
    consumer = AIOKafkaConsumer(
        *settings.topics.events,
        **settings.client_options(),
        group_id=f"{settings.group}-bare",
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

    clock, group = SystemClock(), f"{settings.group}-faust"
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
