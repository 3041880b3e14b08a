"""What the probes answer: health for a load balancer and a person, liveness for whoever restarts."""

from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot.outcomes import Halt, HaltReason
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.worker.status import endpoints
from tests.parts import idle_parts, status_of


class Bench:
    def __init__(self, stuck: str | None = None) -> None:
        self._parts = idle_parts(stuck=stuck)
        self.status = status_of(self._parts)
        self._app = endpoints(self.status, Telemetry())

    def halt(self, reason: HaltReason) -> None:
        self._parts.core.breaker.trip(Halt(reason, "as HubSpot says"))

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://worker") as http:
            response = await http.get(path)
        return response.status_code, response.json()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_all_is_well(bench: Bench) -> None:
    assert await bench.get("/v1/health") == (200, {"status": "ok", "mode": "live", "unwell": {}})
    assert await bench.get("/v1/health/live") == (200, {"status": "ok"})


async def test_an_unwell_part_makes_it_unhealthy_and_is_named_and_is_no_reason_to_restart(bench: Bench) -> None:
    bench.status.health.ill("kafka", "no broker answers")

    assert await bench.get("/v1/health") == (
        503,
        {"status": "unwell", "mode": "live", "unwell": {"kafka": "no broker answers"}},
    )
    assert (await bench.get("/v1/health/live"))[0] == 200


async def test_a_halted_worker_says_so_and_is_neither_replaced_nor_restarted(bench: Bench) -> None:
    bench.halt("token_refused")

    assert await bench.get("/v1/health") == (
        200,
        {"status": "halted", "mode": "live", "unwell": {"hubspot": "halted: token_refused: as HubSpot says"}},
    )
    assert (await bench.get("/v1/health/live"))[0] == 200


async def test_a_halt_hides_no_other_part_that_is_unwell(bench: Bench) -> None:
    bench.halt("hubspot_unavailable")
    bench.status.health.ill("kafka", "no broker answers")

    code, body = await bench.get("/v1/health")

    assert (code, body["status"], set(body["unwell"])) == (503, "unwell", {"hubspot", "kafka"})


@pytest.mark.parametrize(
    ("reason", "ready"),
    [("hubspot_unavailable", 200), ("daily_quota_spent", 200), ("token_refused", 503), ("scope_missing", 503)],
)
async def test_a_worker_that_starts_is_ready_when_it_knows_its_portal_or_when_hubspot_alone_keeps_it_from_that(
    bench: Bench, reason: HaltReason, ready: int
) -> None:
    bench.status.health.ill("portal", "starting: asking HubSpot about its portal")
    assert (await bench.get("/v1/health"))[0] == 503

    bench.halt(reason)

    assert (await bench.get("/v1/health"))[0] == ready


async def test_a_worker_that_is_stuck_asks_to_be_restarted() -> None:
    bench = Bench(stuck="no event was finished")

    assert await bench.get("/v1/health/live") == (503, {"status": "stuck", "why": "no event was finished"})
