"""A program that was forked is the program that starts by itself: what it prints, how it ends, how it is killed."""

import os
import signal
from pathlib import Path

import pytest

from tests.commands import run
from tests.forks import Forked
from tests.pipeline import Pipeline


@pytest.mark.parametrize("arguments", [("audit", "--help"), ("dead-letters", "list")])
async def test_a_forked_command_prints_and_ends_as_one_that_starts_by_itself(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NERAVA_TEST_COLD", raising=False)
    forked = await run("hubspot_consumer", *arguments)
    monkeypatch.setenv("NERAVA_TEST_COLD", "1")

    assert forked == await run("hubspot_consumer", *arguments)
    assert len(forked.output + forked.errors) > 50


async def test_a_forked_service_has_its_own_session_and_folder_and_tells_by_what_it_was_killed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NERAVA_TEST_COLD", raising=False)
    monkeypatch.chdir(tmp_path)
    relay = pipeline.producer()
    await relay.launch_and_wait()

    assert isinstance(relay._process, Forked)
    assert os.getsid(relay.pid) == relay.pid
    assert folder_of(relay.pid) == tmp_path
    assert await relay.stop(signal.SIGKILL) == -signal.SIGKILL


def folder_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/cwd").readlink()
