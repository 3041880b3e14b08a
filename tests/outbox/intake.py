"""The intake in the test's own process, on a real database, as a caller with a token sees it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from producer.intake.endpoints import add_intake
from producer.intake.intake import Intake
from producer.telemetry import Telemetry
from runtime.health import Health
from runtime.http.server import application
from tests.samples import PAYLOADS

TOKEN = "a-token-of-a-test-that-nobody-would-guess"
OLD_TOKEN = "the-token-before-it-which-is-still-taken"


@dataclass(frozen=True)
class Caller:
    """Sends requests with a token; `database_url` is where they should end."""

    http: httpx.AsyncClient
    database_url: str
    intake: Intake
    telemetry: Telemetry

    async def post(
        self, event_type: str = "driver_signed_up", payload: Any = None, *, key: str = "key-1", **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(
            f"/v1/events/{event_type}",
            content=json.dumps(PAYLOADS[event_type] if payload is None else payload),
            headers={"Content-Type": "application/json", "Idempotency-Key": key, **named},
        )

    async def batch(self, items: Any, key: str | None = "batch-1") -> httpx.Response:
        return await self.http.post("/v1/events:batch", json=items, headers={"Idempotency-Key": key} if key else {})

    async def rows(self) -> list[tuple[Any, ...]]:
        """Return id, contact, type, envelope and trace of each row in the outbox, in order."""
        return await self.asked(
            "SELECT id, aggregateid, type, payload, traceparent FROM outbox_events ORDER BY position"
        )

    async def ids(self) -> list[str]:
        """Return the ids of all that was taken, parked or not."""
        found = await self.asked("SELECT id FROM outbox_events UNION ALL SELECT id FROM outbox_parked")
        return [str(row[0]) for row in found]

    async def asked(self, query: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode())
            return await cursor.fetchall() if cursor.description else []

    def counted(self, outcome: str) -> float:
        return self.telemetry.registry.get_sample_value("producer_intake_requests_total", {"outcome": outcome}) or 0.0


@asynccontextmanager
async def calling(database_url: str) -> AsyncIterator[Caller]:
    telemetry = Telemetry()
    app = application("Outbox producer", unwell=dict, also=dict, metrics=telemetry.registry)
    async with Intake(lambda: database_url, Health()) as intake:
        add_intake(app, intake, [OLD_TOKEN, TOKEN], telemetry)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://intake", headers=headers) as http:
            yield Caller(http, database_url, intake, telemetry)


def code(response: httpx.Response) -> str:
    """Return the code of the problem that *response* is, of which everything is as RFC 9457 wants it."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    kind: str = body["type"]
    return kind.removeprefix("/docs#")
