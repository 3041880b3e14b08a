"""The HTTP endpoints: health for a load balancer, status for a person, metrics for Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hubspot_consumer.status import Status
from hubspot_consumer.telemetry import Telemetry


def endpoints(status: Status, telemetry: Telemetry) -> FastAPI:
    """Return the application; it holds no email and no secret."""
    app = FastAPI(title="HubSpot consumer", openapi_url=None)

    @app.get("/v1/health")
    async def health() -> JSONResponse:
        unwell = status.unwell()
        body = {"status": "unwell" if unwell else "ok", "mode": status.mode, "unwell": unwell}
        return JSONResponse(body, status_code=503 if unwell else 200)

    @app.get("/v1/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/status")
    async def report() -> dict[str, Any]:
        return status.report()

    @app.get("/metrics")
    async def metrics() -> Response:
        telemetry.show(status.report())
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    return app


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service decides what SIGTERM means."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: FastAPI, port: int) -> Server:
    """Return the HTTP server of *app*, to be run by `serve`. An access log would repeat every health check."""
    return Server(uvicorn.Config(app, host="0.0.0.0", port=port, log_config=None, access_log=False))  # noqa: S104 - a container's port
