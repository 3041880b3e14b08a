"""The containers of NERAVA_TEST_STACK=testcontainers live as long as the process of the tests that started them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.foreign.compose import ROOT
from tests.polling import eventually

STARTED = """
import time
from urllib.parse import urlsplit
from tests.foreign.containers import {container}

with {container}() as server:
    print({port}, flush=True)
    time.sleep(600)
"""


PORTS = {
    "postgres_container": "urlsplit(server.url).port",
    "kafka_container": "server.bootstrap_servers.rpartition(':')[2]",
}


@pytest.fixture(params=PORTS)
def owner(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that has started a container, and prints its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED.format(container=request.param, port=PORTS[request.param])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/scripts"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


async def test_a_container_ends_and_leaves_nothing_when_its_owner_is_killed(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    port = owner.stdout.readline().strip()
    (container,) = docker("ps", "--quiet", "--no-trunc", "--filter", f"publish={port}")
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", container)[0])
    volumes = {mount["Name"] for mount in mounts if mount["Type"] == "volume"}

    owner.kill()

    async def gone() -> bool:
        containers, others = docker("ps", "--all", "--quiet", "--no-trunc"), docker("volume", "ls", "--quiet")
        return container not in containers and volumes.isdisjoint(others)

    await eventually(gone, saying=f"nothing is left of {container}")


def docker(*words: str) -> list[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]
