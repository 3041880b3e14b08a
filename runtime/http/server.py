"""The HTTP server of a service, with the probes and metrics that every service has."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Annotated, Any, Final

import uvicorn
from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.endings import CannotGoOn
from runtime.http.connections import LONGEST_HEAD, BoundedConnection, most_connections
from runtime.program import program_version

# Limit for open requests at shutdown: the supervisor kills the process after 10 to 30 s.
_FINISH_WITHIN_S: Final = 2
# Connections that the kernel keeps for us until we accept them; the kernel has an upper limit of its own.
_QUEUE: Final = 2048
# All interfaces, because the service runs in a container.
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - each endpoint requires a token or shows nothing secret


def application(  # noqa: PLR0913 - keyword arguments for each endpoint
    title: str,
    *,
    unwell: Callable[[], Mapping[str, str]],
    also: Callable[[], Mapping[str, Any]],
    metrics: CollectorRegistry,
    status: Callable[[], dict[str, Any]] | None = None,
    halted: Callable[[], Collection[str]] = tuple,
    stuck: Callable[[], str | None] = lambda: None,
    untraced: Callable[[Mapping[str, Any]], bool] | None = None,
) -> FastAPI:
    """Return an application that serves health and metrics, and the version and *status* for people if it has one.

    Health is 503 while an *unwell* part is not *halted*: neither a restart of the service nor another instance helps a
    halted part. Liveness is 503 while the service is *stuck*, which a restart may correct. *untraced* selects the
    requests, as ASGI scopes, for which no span is recorded; by default the probes and /metrics.
    """
    # If OpenTelemetry is configured, FastAPI would quote exceptions and their stacks in its logs.
    app = FastAPI(title=title, openapi_url=None, telemetry={"exclude": untraced or _is_probe, "logs": False})
    app.add_middleware(RequestChecks)

    @app.get("/v1/health")
    async def health() -> JSONResponse:
        parts = unwell()
        ready = parts.keys() <= set(halted())
        status = ("halted" if parts else "ok") if ready else "unwell"
        return JSONResponse({"status": status, **also(), "unwell": parts}, status_code=200 if ready else 503)

    @app.get("/v1/health/live")
    async def live() -> JSONResponse:
        if (why := stuck()) is not None:
            return JSONResponse({"status": "stuck", "why": why}, status_code=503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics")
    async def show_metrics(accept: Annotated[str, Header()] = "") -> Response:
        # Only OpenMetrics, which Prometheus requests, contains exemplars.
        encode, content_type = choose_encoder(accept)
        return Response(encode(metrics), media_type=content_type)

    if status is not None:

        @app.get("/v1/status")
        async def show_status() -> dict[str, Any]:
            return {"version": program_version(), **status()}

    return app


class RequestChecks:
    """Refuses a request that states the length of its body in two ways: proxies differ in which one they believe.

    RFC 9112, section 6.1, asks the server to close the connection. A request whose client has gone ends without a log
    line: nobody is left to answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope.get("headers", ())}
        if {b"content-length", b"transfer-encoding"} <= names:
            words = "a request should have Content-Length or Transfer-Encoding, not both"
            await PlainTextResponse(words, 400, headers={"Connection": "close"})(scope, receive, send)
            return
        with suppress(ClientDisconnect):
            await self._app(scope, receive, send)


def _is_probe(scope: Mapping[str, Any]) -> bool:
    # If OpenTelemetry is configured, FastAPI records a span of each request. Probes come every few seconds.
    path: str = scope["path"]
    return path == "/metrics" or path.startswith("/v1/health")


@asynccontextmanager
async def serving(app: FastAPI, port: int, variable: str, host: str = EVERYWHERE) -> AsyncIterator[None]:
    """Serve *app* during the context. Raises CannotGoOn, which names the *variable*, if the port is taken."""
    listener = _listener(port, variable, host)
    settings = uvicorn.Config(
        app,
        http=BoundedConnection,
        # A WebSocket would be a connection without these bounds.
        ws="none",
        h11_max_incomplete_event_size=LONGEST_HEAD,
        # asyncio accepts this number at once, each with a file descriptor, before any connection can be closed.
        backlog=max(1, most_connections() // 4),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
        # With proxy headers any client could choose its address in a header.
        proxy_headers=False,
    )
    server = _Server(settings)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _listener(port: int, variable: str, host: str = EVERYWHERE) -> socket.socket:
    ipv6 = ":" in host
    try:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        return socket.create_server((host, port), family=family, dualstack_ipv6=ipv6)
    except OSError as error:
        # Python adds the address to the operating system's words; the message names the variable and the port instead.
        words, _, _ = (error.strerror or "").partition(" (while ")
        raise CannotGoOn(f"{variable}: can't listen on port {port} ({words}): choose another") from None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service handles SIGTERM itself."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio's queue is as short as what it accepts at once: a client that finds it full waits for a second.
            listener.listen(_QUEUE)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
