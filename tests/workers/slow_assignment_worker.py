"""The consumer, with a race of Faust's widened to certainty: `python -m tests.slow_assignment_worker worker`.

A fetch that is under way when partitions are assigned anew lasts 30 s instead of 1 s, and Faust handles the assignment
1.5 s after the Kafka client has begun it.
"""

import asyncio
from typing import Any

from faust.app import base
from faust.transport import consumer

from hubspot_consumer.__main__ import commands

FETCH_S = 30.0
ASSIGNMENT_S = 1.5

handle = base.App._on_partitions_assigned
wait = consumer.Consumer._wait_next_records


async def handle_late(self: base.App, assigned: Any, generation_id: int = 0) -> None:
    await asyncio.sleep(ASSIGNMENT_S)
    await handle(self, assigned, generation_id)


async def wait_longer(self: consumer.Consumer, timeout: float) -> Any:  # noqa: ASYNC109 - as Faust has it
    return await wait(self, FETCH_S)


if __name__ == "__main__":
    base.App._on_partitions_assigned = handle_late  # type: ignore[method-assign]
    consumer.Consumer._wait_next_records = wait_longer  # type: ignore[method-assign]
    commands(prog_name="python -m hubspot_consumer")
