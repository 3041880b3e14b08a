"""The pods of the Helm chart, by Docker: each image starts with what the chart gives it alone, and ends in its time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.containers.docker import docker
from tests.helm.chart import Manifest, container, environment, helm, rendered, secrets, templates
from tests.polling import eventually
from upkeep.containers.command import PROJECT

PROBE = "import urllib.request as r; r.urlopen('http://127.0.0.1:{port}{path}', timeout=5)"
SAMPLES = {
    "DATABASE_URL": "postgresql://nerava:secret@db.example.com/nerava",
    "CONSOLE_OPERATOR_TOKEN": "o" * 32,
    "HUBSPOT_PRIVATE_APP_TOKEN": "pat-na1-00000000-0000-4000-8000-000000000000",
}


@pytest.fixture(params=["producer", "consumer", "console"])
def pod(request: pytest.FixtureRequest) -> Manifest:
    if docker("image", "inspect", f"nerava-{request.param}").returncode:
        pytest.skip(f"no image nerava-{request.param}: `make up` builds it")
    return templates(rendered(helm("helm3"), values={"console": {"enabled": True}}))[request.param]


@pytest.fixture
def started(pod: Manifest, tmp_path: Path) -> Iterator[str]:
    """The name of a container that runs as the pod would. Neither Kafka nor a database is there."""
    for item in secrets(pod):
        (tmp_path / item["path"]).write_text(SAMPLES[item["path"]])
        (tmp_path / item["path"]).chmod(0o444)
    tmp_path.chmod(0o755)
    name = f"{PROJECT}-pod-{uuid4().hex[:8]}"
    done = docker("run", "--detach", "--name", name, *options(pod, tmp_path), image(pod), *container(pod)["args"])
    assert done.returncode == 0, done.stderr
    yield name
    docker("rm", "--force", "--volumes", name)


def options(pod: Manifest, secret: Path) -> list[str]:
    """Return a pod's settings and rights, as options of `docker run`."""
    user = pod["spec"]["securityContext"]
    found = ["--user", f"{user['runAsUser']}:{user['runAsGroup']}", "--read-only", "--cap-drop", "ALL"]
    found += [
        "--security-opt",
        "no-new-privileges",
        "--stop-timeout",
        str(pod["spec"]["terminationGracePeriodSeconds"]),
    ]
    for variable, value in environment(pod).items():
        found += ["--env", f"{variable}={value}"]
    for mount in container(pod)["volumeMounts"]:
        path = mount["mountPath"]
        found += ["--volume", f"{secret}:{path}:ro"] if mount["name"] == "secrets" else ["--tmpfs", path]
    return found


def image(pod: Manifest) -> str:
    """Return the image that was built here, whatever the chart's version."""
    name: str = container(pod)["image"]
    return name.partition(":")[0]


async def test_a_pod_answers_its_probe_without_kafka_and_ends_with_0(started: str, pod: Manifest) -> None:
    asked = container(pod)["livenessProbe"]["httpGet"]
    probe = PROBE.format(port=container(pod)["ports"][0]["containerPort"], path=asked["path"])

    async def answers() -> bool:
        asking = ("exec", started, "python", "-c", probe)
        return (await asyncio.to_thread(docker, *asking)).returncode == 0

    await eventually(answers, within_s=60, every_s=0.5, saying="the probe succeeds")
    assert docker("stop", started).returncode == 0
    assert docker("inspect", "--format", "{{.State.ExitCode}}", started).stdout.strip() == "0", docker("logs", started)
