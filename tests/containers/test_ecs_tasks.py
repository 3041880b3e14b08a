"""The task definitions of deploy/ecs/, by Docker: each image starts with what its definition gives it, and ends."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.containers.docker import docker
from tests.foreign.aws.definitions import SECRETS, definition
from tests.polling import eventually
from upkeep.containers.command import PROJECT


@pytest.fixture(params=["producer", "consumer", "console"])
def task(request: pytest.FixtureRequest) -> dict[str, Any]:
    if docker("image", "inspect", f"nerava-{request.param}").returncode:
        pytest.skip(f"no image nerava-{request.param}: `make up` builds it")
    return definition(request.param)


@pytest.fixture
def started(task: dict[str, Any]) -> Iterator[str]:
    """The name of a container that runs as the task would. Neither Kafka nor a database is there."""
    (container,) = task["containerDefinitions"]
    name = f"{PROJECT}-ecs-{uuid4().hex[:8]}"
    done = docker("run", "--detach", "--name", name, *options(task), task["family"], *container["command"])
    assert done.returncode == 0, done.stderr
    yield name
    docker("rm", "--force", "--volumes", name)


def options(task: dict[str, Any]) -> list[str]:
    """Return a task's settings, rights and health check, as options of `docker run`."""
    (container,) = task["containerDefinitions"]
    linux, check = container["linuxParameters"], container["healthCheck"]
    found = ["--user", container["user"], "--memory", f"{task['memory']}m"]
    found += ["--stop-timeout", str(container["stopTimeout"])]
    found += ["--init"] * linux["initProcessEnabled"] + ["--read-only"] * container["readonlyRootFilesystem"]
    for capability in linux["capabilities"]["drop"]:
        found += ["--cap-drop", capability]
    for mount in linux["tmpfs"]:
        found += ["--tmpfs", f"{mount['containerPath']}:size={mount['size']}m"]
    # Docker runs a check given so by `sh -c`, as the definition does.
    found += ["--health-cmd", check["command"][-1], "--health-start-period", f"{check['startPeriod']}s"]
    # Asked more often than there, or most of the test is spent waiting.
    found += ["--health-timeout", f"{check['timeout']}s", "--health-interval", "1s"]
    for variable in container["environment"]:
        found += ["--env", f"{variable['name']}={variable['value']}"]
    for secret in container["secrets"]:
        found += ["--env", f"{secret['name']}={SECRETS[secret['name']]}"]
    return found


async def test_a_task_is_healthy_without_kafka_and_ends_with_0(started: str) -> None:
    async def health() -> bool:
        asked = await asyncio.to_thread(docker, "inspect", "--format", "{{.State.Health.Status}}", started)
        return asked.stdout.strip() == "healthy"

    await eventually(health, within_s=90, every_s=0.5, saying="the health check succeeds")
    assert docker("exec", started, "touch", "/tmp/here").returncode == 0
    assert docker("exec", started, "touch", "/app/here").returncode != 0
    assert docker("stop", started).returncode == 0
    assert docker("inspect", "--format", "{{.State.ExitCode}}", started).stdout.strip() == "0", docker("logs", started)
