"""Health of a real worker: halted or not ready is no reason to restart it, and to be stuck is one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox.services import Service
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

UNAVAILABLE = {"answer": {"kind": "status", "status": 503, "style": "html"}}
LOCKED = {"answer": {"kind": "status", "status": 423}}
NEVER = {"answer": {"kind": "hang", "seconds": 10}}


def told(worker: Service, code: int, status: str, part: str) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        answered, body = await worker.health()
        return answered == code and body["status"] == status and part in body["unwell"]

    return so


async def test_a_worker_that_starts_in_an_outage_is_not_ready_and_then_halted_and_goes_on_by_itself(
    pipeline: Pipeline,
) -> None:
    await pipeline.simulator.add_fault(UNAVAILABLE)
    producer, worker = pipeline.producer(), pipeline.consumer()
    await producer.launch_and_wait()
    worker.launch()

    await eventually(told(worker, 503, "unwell", "portal"), saying="it asks HubSpot about its portal")
    await eventually(told(worker, 200, "halted", "portal"), saying="HubSpot is found to be away")
    assert (await worker.status())["halted"]["reason"] == "hubspot_unavailable"
    assert await worker.live() == 200

    await pipeline.simulator.remove_faults()
    await eventually(worker.sending, saying="it is well when HubSpot is back")
    await pipeline.commit(20)
    await pipeline.all_arrive(dead=1)


@pytest.mark.parametrize(("fault", "live"), [pytest.param(LOCKED, 200, marks=pytest.mark.chaos), (NEVER, 503)])
async def test_a_worker_that_finishes_nothing_is_unwell_and_stuck_if_no_call_comes_back(
    pipeline: Pipeline, tmp_path: Any, fault: dict[str, Any], live: int
) -> None:
    environment = pipeline.environment
    producer = pipeline.producer()
    worker = Service(
        "impatient", ["tests.workers.impatient_worker", "worker"], tmp_path, environment, environment["CONSUMER_PORT"]
    )
    try:
        await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
        await pipeline.simulator.add_fault(fault)
        await pipeline.commit(20)

        await eventually(told(worker, 503, "unwell", "progress"), saying="it is found to finish nothing")

        async def as_expected() -> bool:
            return await worker.live() == live

        await eventually(as_expected, within_s=10, saying=f"liveness is {live}")
        await pipeline.simulator.remove_faults()
        await pipeline.all_arrive(dead=1)
        await eventually(worker.sending, saying="it is well again")
        assert await worker.live() == 200
    finally:
        await worker.kill()
