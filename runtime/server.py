"""The HTTP server of a service, with the probes and metrics that every service has."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, Final

import uvicorn
from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from runtime.endings import CannotGoOn

# For requests in work when it is told to stop; somebody else kills after 10 to 30 s.
_FINISH_WITHIN_S: Final = 2
# A container's port.
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - what is behind it asks for a token, or tells nothing


class PortTaken(CannotGoOn):
    """Another process listens on the port; the message names the variable."""


def application(  # noqa: PLR0913 - what a service tells of itself, each by its name
    title: str,
    *,
    unwell: Callable[[], Mapping[str, str]],
    also: Callable[[], Mapping[str, Any]],
    metrics: CollectorRegistry,
    halted: Callable[[], Collection[str]] = tuple,
    stuck: Callable[[], str | None] = lambda: None,
    untraced: Callable[[Mapping[str, Any]], bool] | None = None,
) -> FastAPI:
    """Return an application that tells health and metrics.

    Health is 503 while a part is *unwell* that is not *halted*: nobody mends those by restarting us, or by sending
    somebody else's requests elsewhere. Liveness is 503 while we are *stuck*, which a restart may mend. *untraced* are
    the requests, as ASGI scopes, of which no span is recorded; probes unless given.
    """
    # Where somebody set OpenTelemetry up, FastAPI would quote exceptions and their stacks in its logs.
    app = FastAPI(title=title, openapi_url=None, telemetry={"exclude": untraced or _is_probe, "logs": False})

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
        # Exemplars are in OpenMetrics only, which Prometheus asks for.
        encode, content_type = choose_encoder(accept)
        return Response(encode(metrics), media_type=content_type)

    return app


def _is_probe(scope: Mapping[str, Any]) -> bool:
    # FastAPI records a span of each request where somebody set OpenTelemetry up; these come every few seconds.
    path: str = scope["path"]
    return path == "/metrics" or path.startswith("/v1/health")


@asynccontextmanager
async def serving(app: FastAPI, port: int, variable: str, host: str = EVERYWHERE) -> AsyncIterator[None]:
    """Serve *app* meanwhile. Raises PortTaken, naming the *variable* that chose the port."""
    listener = _listener(port, variable, host)
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
        # Else a header would say who sent a request, whoever it was.
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
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTaken(f"{variable}: can't listen on port {port} ({error.strerror}): choose another") from None
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service decides what SIGTERM means."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
