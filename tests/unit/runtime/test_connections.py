"""Connections of clients that are slow, or many: each is closed in time, and probes are answered meanwhile."""

import asyncio
import logging
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from prometheus_client import CollectorRegistry

from console.web import forms
from runtime.http import connections
from runtime.http.server import application, serving
from sandbox.processes import free_port
from tests.console.server import application as console
from tests.hostile.inputs import inputs_of
from tests.hostile.sockets import sent_by, until_closed
from tests.polling import eventually
from tests.unit.runtime.test_exposure import APPS

HALF = b"GET / HTTP/1.1\r\nX: "
PROBE = b"GET /v1/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LARGE = 64 * 1024 * 1024
DESCRIPTORS = 256
SERVICE = """
import asyncio, os, sys
from fastapi import Request
from prometheus_client import CollectorRegistry
from runtime.http.server import application, serving

async def serve():
    status = lambda: {"descriptors": len(os.listdir("/proc/self/fd"))}
    app = application("A service", unwell=dict, also=dict, metrics=CollectorRegistry(), status=status)
    app.add_route("/reads", Request.body, ["POST"])
    async with serving(app, int(sys.argv[1]), "A_PORT", "127.0.0.1"):
        await asyncio.sleep(60)

asyncio.run(serve())
"""


def service() -> FastAPI:
    return application("A service", unwell=dict, also=dict, metrics=CollectorRegistry())


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    port = free_port()
    async with serving(app, port, "A_PORT", "127.0.0.1"):
        yield port


@pytest.mark.parametrize("name", [*APPS, "console"])
async def test_whoever_does_not_end_a_request_is_disconnected(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 0.2)
    monkeypatch.setattr(forms, "ARRIVES_WITHIN_S", 0.2)
    ended: dict[str, str] = {}
    async with served(APPS.get(name) or console(tmp_path)) as port, asyncio.TaskGroup() as clients:

        async def connect(line: str, sent: Iterator[bytes], every_s: float) -> None:
            try:
                async with asyncio.timeout(5):
                    await until_closed(port, sent, every_s)
                ended[line] = "closed"
            except TimeoutError:
                ended[line] = "open"

        for one in inputs_of("half-open"):
            clients.create_task(connect(one.name, sent_by(one), one.get("every_s", 0) / 50))

    assert ended == {one.name: one.outcome for one in inputs_of("half-open")}


@pytest.mark.parametrize("sends", [b"", HALF, b"POST /reads HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"])
async def test_clients_that_fill_all_places_keep_neither_probes_away_nor_take_the_descriptors(sends: bytes) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, str(port), preexec_fn=_few_descriptors, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, AsyncExitStack() as sockets:
            await eventually(lambda: _answers(http), saying="the service answers", within_s=30)
            used = []
            for number in range(2 * DESCRIPTORS):
                sockets.enter_context(_connected(port, sends))
                if number % 32 == 0:
                    begun = time.monotonic()
                    status = await http.get("/v1/status", headers={"Connection": "close"})
                    assert time.monotonic() - begun < 2
                    used.append(status.json()["descriptors"])

        assert max(used) < DESCRIPTORS / 2
    finally:
        process.kill()
        await process.wait()


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/v1/health/live")).is_success
    except httpx.TransportError:
        return False


def _connected(port: int, sends: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(sends)
    return connection


async def test_what_is_being_answered_is_not_closed_for_new_connections_which_are_refused_if_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 2)
    app, goes_on, asked = service(), asyncio.Event(), asyncio.Semaphore(0)

    @app.get("/slow")
    async def slow() -> Response:
        asked.release()
        await goes_on.wait()
        return Response("done")

    request = b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with served(app) as port:
        first = asyncio.create_task(until_closed(port, iter([request])))
        await asked.acquire()
        half_open = [_connected(port, HALF) for _ in range(20)]
        assert (await until_closed(port, iter([PROBE]))).startswith(b"HTTP/1.1 200")
        second = asyncio.create_task(until_closed(port, iter([request])))
        await asked.acquire()

        assert await until_closed(port, iter([PROBE])) == b""

        goes_on.set()
        assert [(await each).endswith(b"done") for each in (first, second)] == [True, True]
        for each in half_open:
            each.close()


@pytest.mark.parametrize("path", ["large", "stream"])
async def test_an_answer_that_is_not_taken_is_dropped(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN_S", 0.2)
    monkeypatch.setattr(connections, "TAKEN_WITHIN_S", 1.0)
    app = service()

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE))

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(bytes(LARGE // 64) for _ in range(64))

    request = f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    async with served(app) as port:
        with _connected(port, request) as idle:
            assert len(await until_closed(port, iter([request]))) > LARGE
            await asyncio.sleep(1.3)
            idle.settimeout(5)
            assert await asyncio.to_thread(_taken, idle) < LARGE


def _taken(connection: socket.socket) -> int:
    taken = 0
    try:
        while part := connection.recv(1 << 20):
            taken += len(part)
    except ConnectionError:
        pass
    return taken


@pytest.mark.parametrize("sends", [b"POST /reads HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", HALF, b""])
async def test_a_client_that_goes_in_the_middle_of_a_request_is_no_error_of_ours(
    sends: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app, ended = service(), asyncio.Event()

    @app.post("/reads")
    async def read(request: Request) -> Response:
        try:
            return Response(await request.body())
        finally:
            ended.set()

    async with served(app) as port:
        _connected(port, sends).close()
        if sends.startswith(b"POST"):
            await ended.wait()
        assert (await until_closed(port, iter([PROBE]))).startswith(b"HTTP/1.1 200")

    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(("descriptors", "connections_kept"), [(256, 64), (1024, 256), (1 << 20, 256), (2, 1)])
def test_a_server_keeps_a_quarter_of_the_descriptors_for_connections(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections_kept: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))

    assert connections.most_connections() == connections_kept


def test_without_a_limit_of_descriptors_there_is_still_one_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert connections.most_connections() == connections.MOST
