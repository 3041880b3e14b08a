"""The images' content, built without Docker by their own instructions, and run as docker-compose.yml runs it."""

import asyncio
import json
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from image_tree import build, distributions, size
from sandbox.processes import free_port
from sandbox.simulator import Simulator
from tests.foreign.compose import OURS, ROOT, command, health_check, services
from tests.polling import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

# Ours, and what each image is allowed to weigh: half as much again as it does.
CODE = {
    "producer": {"schemas", "runtime", "producer"},
    "consumer": {"schemas", "runtime", "hubspot_consumer"},
    "console": {"schemas", "runtime", "hubspot_consumer", "console"},
    "simulator": {"schemas", "runtime", "hubspot_consumer", "sandbox"},
}
MOST_BYTES = {"producer": 125e6, "consumer": 160e6, "console": 165e6, "simulator": 95e6}
SIGNED_UP = {
    "user_id": "usr_1",
    "email": "ada@example.com",
    "auth_provider": "apple",
    "created_at": "2026-11-24T03:00:00Z",
}
BUILD_TOOLS = {"pip", "setuptools", "wheel", "uv", "hatchling", "build"}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {service: build(service, tmp_path_factory.mktemp(service)) for service in OURS}


@pytest.mark.parametrize("service", OURS)
def test_no_development_dependency_is_in_an_image(trees: dict[str, Path], service: str) -> None:
    installed = set(distributions(trees[service]))

    assert installed >= wanted(service)
    assert installed & (for_development() - wanted(service) | BUILD_TOOLS) == set()


@pytest.mark.parametrize("service", OURS)
def test_an_image_holds_its_services_own_code_alone(trees: dict[str, Path], service: str) -> None:
    (packages,) = trees[service].glob("lib/python*/site-packages")
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert {path.name for path in packages.iterdir()} & ours == CODE[service]
    assert [path.name for path in packages.rglob("*.pth") if "editable" in path.name or "nerava" in path.name] == []


@pytest.mark.parametrize("service", OURS)
def test_an_image_stays_small(trees: dict[str, Path], service: str) -> None:
    assert size(trees[service])[0] < MOST_BYTES[service]


@pytest.mark.parametrize("service", OURS)
def test_every_command_of_an_image_says_what_it_does(trees: dict[str, Path], service: str, tmp_path: Path) -> None:
    module = command(service)[:3]
    listed = run(trees[service], [*module, "--help"], tmp_path)

    assert listed.returncode == 0, listed.stderr
    jobs = [
        job["command"] for job in services().values() if job.get("image") == f"nerava-{service}" and "command" in job
    ]
    for job in jobs:
        if not job[0].startswith(("--", "http")):
            helped = run(trees[service], [*module, job[0], "--help"], tmp_path)
            assert helped.returncode == 0, helped.stderr


async def test_what_compose_starts_brings_an_event_to_the_simulator_and_ends_in_order(
    trees: dict[str, Path], kafka: Any, empty_database_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    ports = {"simulator": free_port(), "producer": free_port(), "consumer": free_port()}
    # What stands for a container's name here.
    moved = {
        "kafka:19092": kafka.bootstrap_servers,
        "postgresql://nerava:nerava@postgres:5432/nerava": empty_database_url,
        "http://simulator:8090": f"http://127.0.0.1:{ports['simulator']}",
        "${PRODUCER_INTAKE_TOKEN:-}": "",
    }
    own = {
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "PRODUCER_PORT": str(ports["producer"]),
        "CONSUMER_PORT": str(ports["consumer"]),
    }

    def environment(name: str) -> dict[str, str]:
        given = services()[name].get("environment", {})
        return {variable: moved.get(str(value), str(value)) for variable, value in given.items()} | own

    for job in ("migrate", "topics"):
        done = run(trees["producer"], command("producer", services()[job]["command"]), tmp_path, environment(job))
        assert done.returncode == 0, done.stderr
    with ExitStack() as running:
        started = {
            name: running.enter_context(container(trees[name], arguments, tmp_path / name, environment(name)))
            for name, arguments in {
                "simulator": [*command("simulator"), "--port", str(ports["simulator"])],
                "producer": command("producer", services()["producer"]["command"]),
                "consumer": command("consumer", services()["consumer"]["command"]),
            }.items()
        }
        for name in ("producer", "consumer"):
            await eventually(partial(well, ports[name]), within_s=90, saying=f"{name} is well")
            check = run(trees[name], health_check(name), tmp_path, environment(name))
            assert check.returncode == 0, check.stderr
        with psycopg.connect(empty_database_url) as database:
            database.execute(
                "SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)",
                (json.dumps(SIGNED_UP),),
            )
        async with Simulator(f"http://127.0.0.1:{ports['simulator']}") as simulator:

            async def arrived() -> bool:
                return "ada@example.com" in (await simulator.accepted()).contacts

            await eventually(arrived, within_s=60, saying="the contact is in HubSpot")
        for name in ("consumer", "producer"):
            started[name].send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(started[name].wait, 10) == 0, name
            check = run(trees[name], health_check(name), tmp_path, environment(name))
            assert check.returncode == 1, name


def wanted(service: str) -> set[str]:
    if service == "simulator":
        return names(groups()["simulator"])
    project = tomllib.loads((ROOT / "docker" / "pyproject.toml").read_text())["project"]
    return names(project["dependencies"] + project["optional-dependencies"][service])


def for_development() -> set[str]:
    """Return what the project asks for beyond its services; much of it brings more along."""
    assert {"pytest", "mypy"} <= names(groups()["dev"])
    # What a service has by way of another library is no development dependency of it.
    return names(groups()["dev"] + groups()["sandbox"]) - {"nerava-lifecycle-services", "rich", "sqlalchemy"}


def groups() -> dict[str, list[str]]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return {name: [one for one in group if isinstance(one, str)] for name, group in found.items()}


def names(requirements: list[str]) -> set[str]:
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in found if name}


async def well(port: int) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{port}/v1/health")).status_code == 200
    except httpx.TransportError:
        return False


def of_image(tree: Path, environment: Mapping[str, str] | None) -> dict[str, str]:
    return {"PATH": f"{tree / 'bin'}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **(environment or {})}


def run(
    tree: Path, words: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *words* as a container does that ends by itself: nothing of ours is in its environment, nor in its folder."""
    return subprocess.run(
        words, env=of_image(tree, environment), cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@contextmanager
def container(
    tree: Path, words: list[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *words* as a container does, until it is told to end, or left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, env=of_image(tree, environment), cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
