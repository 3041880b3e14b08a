"""Raw requests to the console, before anybody has signed in: each gets its answer, and none takes memory."""

import logging
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.http import connections
from runtime.http.server import serving
from sandbox.processes import free_port
from tests.console.server import application
from tests.hostile.inputs import Input, inputs_of
from tests.hostile.sockets import sent_by, status_of, until_closed

MOST_MEMORY = 64 * 1024 * 1024
REQUESTS = inputs_of("console request")
ENDLESS = [one for one in REQUESTS if one.get("times", 0) > 1]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    port = free_port()
    async with serving(application(tmp_path), port, "CONSOLE_PORT", "127.0.0.1"):
        yield port


async def test_a_request_of_a_stranger_gets_its_answer_and_is_no_error_of_ours(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    # One server gets them all: each has to leave it as it was.
    got = {one.name: await status_of(port, sent_by(one)) for one in REQUESTS}

    wrong = {one.name: got[one.name] for one in REQUESTS if got[one.name] not in one.outcome.split(" or ")}
    assert wrong == {}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("one", ENDLESS, ids=str)
async def test_an_endless_request_takes_no_memory(port: int, one: Input, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 2)
    tracemalloc.start()
    # It goes on after its answer, for as long as the server lets it.
    await until_closed(port, sent_by(one))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < MOST_MEMORY
