"""The consumer, which reads one topic a minute late: `python -m tests.workers.slow_sibling_worker worker`."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer

from hubspot_consumer.__main__ import commands
from hubspot_consumer.kafka.positions import Fetched, Positions

SLOW_TOPIC = "wallet_pass_installed"
DELAY_S = 70.0

began = time.monotonic()
fetch_all = Positions._fetch


async def fetch_late(self: Positions, consumer: AIOKafkaConsumer, fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
    async def fetch_others() -> Fetched:
        fetched = dict(await fetch())
        if time.monotonic() - began < DELAY_S:
            for partition in [partition for partition in fetched if partition.topic.endswith(SLOW_TOPIC)]:
                consumer.seek(partition, fetched.pop(partition)[0].offset)
                await asyncio.sleep(0.1)
        return fetched

    return await fetch_all(self, consumer, fetch_others)


if __name__ == "__main__":
    Positions._fetch = fetch_late  # type: ignore[method-assign]
    commands(prog_name="python -m hubspot_consumer")
