"""Processes of an older version run beside those of this one: nothing is lost, doubled or out of order, both ways."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.processes import free_port
from sandbox.services import Service
from tests.pipeline import PARTITIONS, Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

# The version that is deployed where this one is not yet.
OLDER = "d09b22c"
ROOT = Path(__file__).parents[3]
EVENTS = 400
REPLAY = ("replay", "--from-earliest", "--yes")


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the older version, with an environment of its own from its lock file."""
    folder = tmp_path_factory.mktemp("older")
    known = run("git", "cat-file", "-e", f"{OLDER}^{{commit}}", folder=ROOT)
    if known.returncode:
        pytest.skip(f"this clone has no history as far as {OLDER}")
    archive = folder / "older.tar"
    run("git", "archive", "--output", str(archive), OLDER, folder=ROOT).check_returncode()
    run("tar", "xf", str(archive), folder=folder).check_returncode()
    uv = shutil.which("uv") or str(ROOT / ".venv-uv/bin/uv")
    made = run(uv, "sync", "--frozen", "--all-extras", "--python", sys.executable, folder=folder)
    assert made.returncode == 0, made.stderr
    return folder


class OlderService(Service):
    """A service of the older version."""

    def __init__(self, folder: Path, arguments: list[str], pipeline: Pipeline) -> None:
        port = str(free_port())
        ports = {"PRODUCER_PORT": port, "CONSUMER_PORT": port}
        super().__init__(f"older-{port}", arguments, pipeline.directory, pipeline.environment | ports, port)
        self._command[:1] = ["env", "-C", str(folder), str(folder / ".venv/bin/python")]


async def share(*workers: Service) -> None:
    """Return when each of the workers has been given a half of the partitions."""

    async def shared() -> bool:
        return all(f'"partitions": {PARTITIONS * 7 // 2}, ' in worker.log.read_text() for worker in workers)

    await eventually(shared, within_s=60, every_s=0.2, saying="the workers share the partitions")


async def versions_found(pipeline: Pipeline) -> dict[str, str]:
    """Return what the doctor finds of the workers' versions."""
    findings = json.loads((await pipeline.run("doctor", "--offline", "--json")).output)["findings"]
    found: dict[str, str] = next(finding for finding in findings if finding["name"] == "worker_versions")
    return found


def ended(service: Service) -> Callable[[], Awaitable[bool]]:
    async def has_ended() -> bool:
        return not service.running

    return has_ended


async def test_workers_and_relays_change_to_this_version_and_back_under_load(
    pipeline: Pipeline, older: Path, tmp_path: Path
) -> None:
    old_relay, old_worker = (
        pipeline.keep(OlderService(older, arguments, pipeline))
        for arguments in (["producer", "serve"], ["hubspot_consumer", "worker"])
    )
    new_relay, new_worker = pipeline.producer(), pipeline.consumer()
    day = iter(pipeline.day(6 * EVENTS))

    async def play() -> None:
        await pipeline.play([happening for happening, _ in zip(day, range(EVENTS), strict=False)], per_s=200)

    await old_relay.launch_and_wait()
    await old_worker.launch_and_wait()
    await play()
    # Forward: worker and relay of both versions side by side, then this one's alone.
    await new_worker.launch_and_wait()
    await new_relay.launch_and_wait()
    await share(old_worker, new_worker)
    mixed = await versions_found(pipeline)
    await play()
    forward = await pipeline.run(*REPLAY, "--folder", str(tmp_path / "forward"))
    await old_relay.stop()
    await play()
    await old_worker.stop()
    await play()
    # And back again.
    await old_worker.launch_and_wait()
    await old_relay.launch_and_wait()
    await play()
    back = pipeline.keep(
        OlderService(older, ["hubspot_consumer", *REPLAY, "--folder", str(tmp_path / "back")], pipeline)
    )
    back.launch()
    await eventually(ended(back), within_s=60, saying="the older version's replay ends")
    await new_relay.stop()
    await new_worker.stop()
    await play()

    await pipeline.all_accounted_for(within_s=120)
    findings, _ = await pipeline.findings()
    assert not findings
    assert mixed["level"] == "warn"
    assert re.search(r"1 worker of an older version; the older ones are faust-\S+ at \S+$", mixed["what"])
    assert (forward.code, back.exit_code) == (0, 0), forward.output + forward.errors + back.tail()
