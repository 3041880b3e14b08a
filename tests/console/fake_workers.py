"""Workers that only say of themselves what a test wants: their status and metrics over HTTP, from this process."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from runtime.http.server import serving
from sandbox.processes import free_port
from tests.console.world import told

# Buckets of the time from commit to HubSpot, in seconds.
BOUNDS = (0.5, 1.0, 5.0, 10.0)


@dataclass
class FakeWorker:
    """A worker that delivers *per_s* events in a second, each of which takes *latency_s*."""

    per_s: float = 10.0
    latency_s: float = 0.4
    changes: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    began: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metrics(self) -> str:
        delivered = int((time.monotonic() - self.began) * self.per_s)
        ages = [
            f'hubspot_consumer_event_age_seconds_bucket{{le="{bound}"}} {delivered if self.latency_s <= bound else 0}'
            for bound in BOUNDS
        ]
        lines = [
            f'hubspot_consumer_events_delivered_total{{type="nova_earned"}} {delivered}',
            f'hubspot_consumer_calls_total{{kind="upsert",status="200"}} {delivered}',
            *ages,
            f'hubspot_consumer_event_age_seconds_bucket{{le="+Inf"}} {delivered}',
        ]
        return "\n".join([*lines, ""])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Answer the console; yield the address."""
        app = FastAPI()

        @app.get("/v1/status")
        async def status() -> dict[str, Any]:
            return told(**self.changes)

        @app.get("/metrics")
        async def metrics() -> PlainTextResponse:
            return PlainTextResponse(self.metrics())

        async with serving(app, self.port, "the test's port", "127.0.0.1"):
            yield self.url
