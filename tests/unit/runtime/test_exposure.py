"""What the services' ports show: as the threat model has it, and nothing else; and its tests are there."""

import re
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.worker.status import endpoints
from producer.intake.endpoints import add_intake
from producer.telemetry import Telemetry as ProducerTelemetry
from runtime.http.server import _listener, application
from tests.hostile.inputs import inputs
from tests.parts import status_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
# Method and path, of which service, and what it needs.
ROWS = re.findall(r"^\| `(GET|POST) (\S+)` \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
NEEDED = {(method, path): needs for method, path, _, needs in ROWS}


def consumer() -> FastAPI:
    return endpoints(status_of(), Telemetry())


def producer(*, intake: bool) -> FastAPI:
    app = application("Outbox producer", unwell=dict, also=dict, status=dict, metrics=CollectorRegistry())
    if intake:
        # Whoever has no token comes no further.
        add_intake(app, cast("Any", None), ["a-token-of-a-test-that-nobody-would-guess"], ProducerTelemetry())
    return app


APPS = {
    "consumer": consumer(),
    "producer": producer(intake=False),
    "producer with an intake": producer(intake=True),
}


def answered(app: FastAPI) -> set[tuple[str, str]]:
    return {
        (method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods or ()
    }


def documented(service: str) -> set[tuple[str, str]]:
    return {(method, path) for method, path, of, _ in ROWS if of == "both" or of in service}


@pytest.mark.parametrize("service", APPS)
def test_a_service_answers_what_the_threat_model_lists_and_nothing_else(service: str) -> None:
    app = APPS[service]

    assert answered(app) == documented(service)
    # FastAPI would add pages of its own, as routes of another kind.
    assert [route for route in app.routes if not isinstance(route, APIRoute)] == []


@pytest.mark.parametrize(("method", "path"), NEEDED)
async def test_what_needs_no_token_changes_nothing_and_what_does_is_refused_without_one(method: str, path: str) -> None:
    app = next(app for app in APPS.values() if (method, path) in answered(app))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        answer = await http.request(method, path.replace("{event_type}", "nova_earned"))

    if NEEDED[method, path] == "nothing":
        assert (method, answer.status_code) == ("GET", 200)
    else:
        assert answer.status_code == 401


def test_the_services_listen_on_all_interfaces_as_the_threat_model_says() -> None:
    with _listener(0, "PRODUCER_PORT") as listener:
        assert listener.getsockname()[0] == "0.0.0.0"
    assert "Both services listen on all interfaces" in PAGE


def ensured() -> list[list[str]]:
    """Return the cells of each line of what is ensured."""
    table = PAGE.partition("## What is ensured")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[1:]]


@pytest.mark.parametrize("cells", ensured(), ids=lambda cells: f"{cells[1]}: {cells[2][:40]}")
def test_each_line_of_what_is_ensured_names_tests_that_are_there(cells: list[str]) -> None:
    from_whom, where, bound, tests = cells
    named = re.findall(r"`(tests/\S+?\.py)`", tests)

    assert all((from_whom, where, bound, named))
    for name in named:
        assert "def test_" in (ROOT / name).read_text(), name


def test_the_tests_of_each_surface_of_hostile_inputs_are_among_them() -> None:
    named = "".join((ROOT / name).read_text() for name in set(re.findall(r"`(tests/\S+?\.py)`", PAGE)))

    assert [surface for surface in {one.surface for one in inputs()} if f'inputs_of("{surface}")' not in named] == []
