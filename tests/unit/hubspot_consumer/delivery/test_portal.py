"""The portal's checks before the first delivery: they use the worker's part of the quota, and so need its lease."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.kafka.lease import LASTS_S, Lease
from tests.clock import LoopClock, run_fast
from tests.samples import PORTAL_ID


def test_a_worker_that_kafka_has_lost_asks_its_portal_nothing() -> None:
    async def work() -> None:
        clock, asked = LoopClock(), list[str]()
        lease = Lease(clock)

        class Client:
            async def portal(self) -> Any:
                asked.append("portal")
                return SimpleNamespace(portal_id=PORTAL_ID)

        settings: Any = SimpleNamespace(
            hubspot_portal_id=PORTAL_ID, hubspot_timeline="off", hubspot_id_property="email"
        )
        breaker, jitter = CircuitBreaker(clock), random.Random(1)
        portal = Portal(cast("Any", Client()), settings, breaker, clock, jitter, lease.until_valid)
        lease.renew(clock.monotonic())
        await asyncio.sleep(2 * LASTS_S)

        checking = asyncio.create_task(portal.check())
        await asyncio.sleep(60)
        assert asked == []

        lease.renew(clock.monotonic())
        await checking
        assert asked == ["portal"]

    run_fast(work())
