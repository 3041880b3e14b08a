"""The containers of every profile but Debezium's: what they may do, how they end, and that they keep their data."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest
from ruamel.yaml import YAML

from sandbox.simulator import Simulator
from tests.console.server import sign_in
from tests.containers.composed import OPERATOR, Composed, get
from tests.foreign.compose import OURS, ROOT, read_yaml
from tests.polling import eventually
from upkeep.containers.command import PROJECT

PRODUCERS, CONSUMERS = 2, 3
SCALED = f"--scale producer={PRODUCERS} --scale consumer={CONSUMERS}"
VOLUMES = sorted(read_yaml("docker-compose.yml")["volumes"])
PROFILES = "--profile console --profile monitoring"
# Of our images. The simulator says by 143 that it was ended by SIGTERM, as any program does that does not handle it.
ENDS_WITH = {"producer": 0, "consumer": 0, "console": 0, "simulator": 143}
ENDS_WITHIN_S = 10


@pytest.fixture(scope="module")
def started(composed: Composed) -> Composed:
    composed.up(f"{PROFILES} {SCALED}")
    return composed


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator("http://127.0.0.1:8090") as answering:
        yield answering


async def test_an_event_of_the_database_reaches_the_simulator(started: Composed, simulator: Simulator) -> None:
    track(started, "ada@example.com")

    await reaches(simulator, "ada@example.com")


@pytest.mark.parametrize("service", OURS)
def test_a_container_of_ours_has_no_rights_and_writes_only_where_it_must(started: Composed, service: str) -> None:
    def said(command: str) -> str:
        return started.runs("docker", "exec", f"{PROJECT}-{service}-1", "sh", "-c", command)

    assert said("id -u; id -g").split() == ["10001", "10001"]
    # What the process may do, and what it could ever get.
    assert re.findall(r"^(?:Cap\w+|NoNewPrivs):\t(\w+)", said("cat /proc/self/status"), re.MULTILINE) == [
        "0" * 16
    ] * 5 + ["1"]
    places = "/ /app /etc /home /var/lib/console /tmp"
    written = said(f'for place in {places}; do touch "$place/written" 2>/dev/null && echo "$place"; done; true').split()
    assert written == (["/var/lib/console", "/tmp"] if service == "console" else ["/tmp"])


def test_every_volume_is_named_and_of_the_project(started: Composed) -> None:
    running = started.compose("ps", "--all", "--quiet").split()
    containers = json.loads(started.runs("docker", "inspect", *running))
    volumes = {mount["Name"] for each in containers for mount in each["Mounts"] if mount["Type"] == "volume"}

    assert [name for name in volumes if not name.startswith(f"{PROJECT}_")] == []


def test_starting_again_replaces_no_container(started: Composed) -> None:
    before = services_of(started)

    started.up(f"{PROFILES} {SCALED}")

    assert services_of(started) == before


async def test_port_8081_is_the_first_consumers_after_a_new_start_too(started: Composed) -> None:
    started.compose(
        "up", "--detach", "--wait", "--no-deps", "--force-recreate", "--scale", f"consumer={CONSUMERS}", "consumer"
    )

    with paused(started, 1):
        assert await answers("http://127.0.0.1:8081/v1/status") is False
    with paused(started, 2, 3):
        assert await answers("http://127.0.0.1:8081/v1/status") is True


async def test_the_console_and_prometheus_see_each_process(started: Composed) -> None:
    async def prometheus_does() -> bool:
        found = (await get("http://127.0.0.1:9090/api/v1/targets"))["data"]["activeTargets"]
        healthy = [target["labels"]["job"] for target in found if target["health"] == "up"]
        return sorted(healthy) == ["consumer"] * CONSUMERS + ["producer"] * PRODUCERS

    async with httpx.AsyncClient(base_url="http://127.0.0.1:8089") as browser:
        await sign_in(browser, OPERATOR)

        async def console_does() -> bool:
            page = (await browser.get("/", follow_redirects=True)).text
            return f'data-figure="workers">{CONSUMERS} of {CONSUMERS}<' in page

        await eventually(console_does, within_s=60, every_s=1, saying="the console sees each worker")
        control = (await browser.get("/control")).text
        assert len(set(re.findall(r"http://[\d.]+:8080", control))) == PRODUCERS
    await eventually(prometheus_does, within_s=60, every_s=1, saying="Prometheus sees each process")
    rules = (await get("http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}
    assert rules


def test_grafana_is_given_the_dashboards(started: Composed) -> None:
    listed = started.runs(
        "docker", "exec", f"{PROJECT}-grafana-1", "sh", "-c", "cat /var/lib/grafana/dashboards/*.json"
    )

    assert '"title"' in listed


def test_every_service_ends_in_time_when_it_is_told_to(started: Composed) -> None:
    for service, code in ENDS_WITH.items():
        begin = time.monotonic()
        started.runs("docker", "stop", "--time", str(2 * ENDS_WITHIN_S), f"{PROJECT}-{service}-1")

        assert started.container(service)["State"]["ExitCode"] == code, service
        assert time.monotonic() - begin < ENDS_WITHIN_S + 2, service


async def test_what_was_tracked_takes_effect_anew_after_down_and_up(started: Composed, simulator: Simulator) -> None:
    started.down()
    assert started.left() == [f"{PROJECT}_{volume}" for volume in VOLUMES]
    started.up()
    track(started, "eve@example.com")
    await reaches(simulator, "eve@example.com")

    # The simulator has forgotten what it held.
    assert "ada@example.com" not in (await simulator.accepted()).contacts
    started.compose("run", "--rm", "consumer", "resync", "ada@example.com")

    await reaches(simulator, "ada@example.com")


def test_the_override_of_the_page_leads_consumer_and_console_to_hubspot(composed: Composed) -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    (override,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    path = ROOT / ".sandbox" / "override.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(override)

    files = ("-f", "docker-compose.yml", "-f", str(path))
    services = YAML(typ="safe").load(composed.runs("docker", "compose", *files, "--profile", "*", "config"))["services"]
    for name in ("consumer", "console"):
        environment = services[name]["environment"]
        assert environment["HUBSPOT_API_BASE_URL"] == "https://api.hubapi.com"
        assert (environment["HUBSPOT_SEND_LIVE"], environment["HUBSPOT_PRIVATE_APP_TOKEN"]) == ("false", "")
        assert services[name]["secrets"] == [{"source": "hubspot", "target": "/run/secrets/hubspot"}]


def track(project: Composed, email: str) -> None:
    payload = {"user_id": email, "email": email, "auth_provider": "apple", "created_at": "2026-11-24T03:00:00Z"}
    statement = f"SELECT track_lifecycle_event('driver_signed_up', '{json.dumps(payload)}')"
    project.compose(
        "exec", "postgres", "psql", "--username", "nerava", "--set", "ON_ERROR_STOP=1", "--command", statement
    )


async def reaches(simulator: Simulator, email: str) -> None:
    async def reached() -> bool:
        return email in (await simulator.accepted()).contacts

    await eventually(reached, within_s=60, every_s=0.5, saying=f"{email} is in HubSpot")


def services_of(project: Composed) -> list[str]:
    """Return the ids of the containers that are no jobs."""
    return sorted(project.compose("ps", "--quiet", "--no-trunc").split())


@contextmanager
def paused(project: Composed, *numbers: int) -> Iterator[None]:
    """Let these consumers stand still, so that none of them answers."""
    names = [f"{PROJECT}-consumer-{number}" for number in numbers]
    project.runs("docker", "pause", *names)
    yield
    project.runs("docker", "unpause", *names)


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(timeout=2) as http:
        try:
            return (await http.get(url)).is_success
        except httpx.TimeoutException:
            return False
