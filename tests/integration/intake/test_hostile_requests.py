"""Hostile requests to the intake: each is refused by its problem, or taken.

A line of the surface `intake request` has `method`, `path` and `body` (parts), and `headers` beside a valid token,
JSON's type and a new key: null removes one, and `{token}` stands for a valid token. `before` is the body of an
accepted request with the same headers. `outcome` is the status and the problem's code.

A line of `intake connection` has the octets `raw`, with `{token}`, then `piece` again and again, `every_s` seconds
apart, or with `ends` the end of the client's side. `outcome` lists the statuses of all answers, or the possible ones
of a single one.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from producer.intake.endpoints import add_intake
from producer.intake.intake import Intake
from producer.telemetry import Telemetry
from runtime.health import Health
from runtime.http.server import application, serving
from sandbox.processes import free_port
from tests.hostile.inputs import Input, inputs_of, octets, text
from tests.outbox.intake import TOKEN, Caller, calling, code


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with calling(database_url) as caller:
        yield caller


async def test_a_hostile_request_is_refused_by_its_problem_or_taken(caller: Caller) -> None:
    outcomes = {one.name: await _outcome(caller, one) for one in inputs_of("intake request")}

    assert outcomes == {one.name: one.outcome for one in inputs_of("intake request")}
    # One event more: that of the key which was sent again with another.
    assert len(await caller.ids()) == [*outcomes.values()].count("202") + 1


async def _outcome(caller: Caller, one: Input) -> str:
    own = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
    given: dict[str, Any] = {**own, **one.get("headers", {})}
    headers = {
        name: value.replace("{token}", TOKEN).encode("latin-1") for name, value in given.items() if value is not None
    }
    url = httpx.URL("http://intake").copy_with(raw_path=octets(one["path"]))
    if before := one.get("before"):
        assert (await caller.http.post(url, content=octets(before), headers=headers)).status_code == 202
    request = caller.http.build_request(one["method"], url, content=octets(one.get("body")) or b"", headers=headers)
    if "Authorization" in given and given["Authorization"] is None:
        del request.headers["Authorization"]
    answer = await caller.http.send(request)
    assert len(answer.content) < 20_000, text(one.name)
    named = code(answer) if answer.content and answer.status_code != 202 else ""
    return f"{answer.status_code} {named}".removesuffix(" about:blank").strip()


@pytest.mark.parametrize("one", inputs_of("intake connection"), ids=str)
async def test_hostile_octets_are_answered_or_the_connection_ends(one: Input, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.intake.requests.READ_WITHIN_S", 0.5)
    port, telemetry = free_port(), Telemetry()
    app = application("Outbox producer", unwell=dict, also=dict, metrics=telemetry.registry)
    add_intake(app, Intake(lambda: "postgresql://nobody@127.0.0.1:1/none", Health()), [TOKEN], telemetry)
    async with serving(app, port, "PRODUCER_PORT"):
        answers = await _answers(port, one)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{port}/v1/health/live")).status_code == 200

    expected = one.outcome.split()
    assert answers == expected or (len(answers) == 1 and answers[0] in expected), one.outcome


async def _answers(port: int, one: Input) -> list[str]:
    """Return the statuses of all answers, once the server has closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        with suppress(ConnectionError):
            writer.write(one.bytes("raw").replace(b"{token}", TOKEN.encode()))
            await writer.drain()
            if one.get("ends"):
                writer.write_eof()
            while piece := one.bytes("piece"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(one["every_s"])

    sending, read = asyncio.create_task(send()), b""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while part := await reader.read(65_536):
                read += part
    sending.cancel()
    writer.transport.abort()
    return re.findall(r"HTTP/1\.1 (\d{3})", read.decode("latin-1"))
