"""What the probes answer: health for a load balancer and a person, liveness for whoever restarts."""

from typing import Any, cast

import httpx
import pytest

from hubspot_consumer.gates.circuit_breaker import HaltGate
from hubspot_consumer.hubspot.outcomes import Halt, HaltReason
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.worker.endpoints import endpoints
from hubspot_consumer.worker.progress import Progress
from hubspot_consumer.worker.status import Status
from runtime.health import Health
from tests.clock import OwnedClock


class Bench:
    def __init__(self) -> None:
        self.status = Status("live", Health(), halt=HaltGate(OwnedClock()))
        self._app = endpoints(self.status, Telemetry())

    def halt(self, reason: HaltReason) -> None:
        assert self.status.halt is not None
        self.status.halt.close(Halt(reason, "as HubSpot says"))

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


async def test_a_worker_that_is_stuck_asks_to_be_restarted(bench: Bench) -> None:
    progress = cast("Any", Progress.__new__(Progress))
    progress.stuck = "no event was finished"
    bench.status.progress = progress

    assert await bench.get("/v1/health/live") == (503, {"status": "stuck", "why": "no event was finished"})
