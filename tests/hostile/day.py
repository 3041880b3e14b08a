"""The hostile day: each input of the file is played into a running stack, by the surface that it reaches."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from sandbox.services import Service
from tests.console.server import csrf_of, sign_in
from tests.hostile.hubspot import answering
from tests.hostile.inputs import Input, octets, record_of, text
from tests.hostile.sockets import sent_by, status_of, until_closed
from tests.outbox.intake import TOKEN
from tests.pipeline import OPERATOR_TOKEN, Pipeline

SENDING: Final = b"sending"
WITHIN_S: Final = 30.0


@dataclass(frozen=True)
class Stack:
    """A running stack, and what reaches its surfaces: a producer of records, a database, a session of the console."""

    pipeline: Pipeline
    relay: Service
    worker: Service
    console: Service
    kafka: AIOKafkaProducer
    database: psycopg.AsyncConnection
    operator: httpx.AsyncClient
    csrf: str
    intake: httpx.AsyncClient

    @property
    def services(self) -> tuple[Service, ...]:
        return (self.relay, self.worker, self.console)


@asynccontextmanager
async def reached(pipeline: Pipeline, relay: Service, worker: Service, console: Service) -> AsyncIterator[Stack]:
    """Yield the stack with connections to all its surfaces."""
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    largest = 64 * 1024 * 1024
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, max_request_size=largest, compression_type="gzip") as kafka,
        await pipeline.connect() as database,
        httpx.AsyncClient(base_url=console.url, timeout=WITHIN_S) as operator,
        httpx.AsyncClient(base_url=relay.url, timeout=WITHIN_S) as intake,
    ):
        await sign_in(operator, OPERATOR_TOKEN)
        csrf = await csrf_of(operator)
        yield Stack(pipeline, relay, worker, console, kafka, database, operator, csrf, intake)


async def play(stack: Stack, hostile: Input) -> None:
    """Play one input. The tests of its surface check its outcome; here only the stack's survival counts."""
    await PLAYS[hostile.surface](stack, hostile)


async def _record(stack: Stack, hostile: Input) -> None:
    record = record_of(hostile)
    topic = stack.pipeline.topics.prefix + hostile["topic"]
    at_ms = hostile.get("timestamp_ms")
    headers = [(name, value) for name, value in record.headers]
    # A broker may refuse a time, or a size.
    with suppress(KafkaError):
        await stack.kafka.send_and_wait(
            topic, record.value, key=record.key, partition=0, timestamp_ms=at_ms, headers=headers
        )
    if hostile["topic"] == "controls":
        # A pause is right to stop everything: it is ended at once, as a person would.
        await stack.kafka.send_and_wait(topic, None, key=SENDING, partition=0)


async def _text(stack: Stack, hostile: Input) -> None:
    """Play a text as a note of people, as an id of the contact, and as a detail of a dead letter."""
    words = text(hostile["text"])[:900_000]
    note = json.dumps({"paused": False, "at": "2026-11-24T03:00:00Z", "note": words}).encode()
    topics = stack.pipeline.topics
    detail = [("dead_letter.detail", words.encode(errors="replace"))]
    with suppress(KafkaError):
        await stack.kafka.send_and_wait(topics.controls, note, key=SENDING, partition=0)
    with suppress(KafkaError):
        await stack.kafka.send_and_wait(topics.dead_letters, b"x", key=b"text@example.com", headers=detail)
    with suppress(KafkaError):
        value = octets({"envelope": {"contact": {"email": "text@example.com", "external_id": words}}})
        await stack.kafka.send_and_wait(topics.events[0], value, key=b"text@example.com")
    await stack.operator.post("/control/resume", data={"seen": words[:50_000], "csrf": stack.csrf})


async def _console_request(stack: Stack, hostile: Input) -> None:
    await status_of(_port(stack.console), sent_by(hostile), within_s=WITHIN_S)


async def _half_open(stack: Stack, hostile: Input) -> None:
    await asyncio.gather(
        *(until_closed(_port(each), sent_by(hostile), hostile.get("every_s", 0)) for each in stack.services)
    )


async def _console_form(stack: Stack, hostile: Input) -> None:
    form = {name: text(value) for name, value in hostile.get("form", {}).items()}
    await stack.operator.post(hostile["path"], data={**form, "csrf": stack.csrf})


async def _answer(stack: Stack, hostile: Input) -> None:
    """Let commands and a second worker have the answer: events of a worker whose HubSpot fails have to wait."""
    async with answering(hostile) as hubspot:
        await stack.pipeline.run("doctor", "--json", HUBSPOT_API_BASE_URL=hubspot.base_url)


async def _sql(stack: Stack, hostile: Input) -> None:
    payload = (octets(hostile["payload"]) or b"").decode("utf-8", "surrogateescape")
    named = [name for name in ("occurred_at", "traceparent") if name in hostile.fields]
    more = "".join(f", {name} => %s" for name in named)
    query = f"SELECT track_lifecycle_event(%s, %s{more})"
    with suppress(psycopg.Error, UnicodeError):
        await stack.database.execute(
            query.encode(), [text(hostile["type"]), payload, *(text(hostile[name]) for name in named)]
        )


async def _row(stack: Stack, hostile: Input) -> None:
    row: Mapping[str, Any] = hostile["row"]
    values = [value if isinstance(value, int | None) else text(value) for value in row.values()]
    columns, places = ", ".join(row), ", ".join("%s" for _ in row)
    with suppress(psycopg.Error, UnicodeError):
        await stack.database.execute(f"INSERT INTO outbox_events ({columns}) VALUES ({places})".encode(), values)


async def _intake_request(stack: Stack, hostile: Input) -> None:
    own = {"Authorization": "Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
    given: dict[str, str | None] = {**own, **hostile.get("headers", {})}
    headers = [
        (name.encode(), value.replace("{token}", TOKEN).encode("latin-1"))
        for name, value in given.items()
        if value is not None
    ]
    url = stack.intake.base_url.copy_with(raw_path=octets(hostile["path"]))
    with suppress(httpx.HTTPError):
        await stack.intake.request(hostile["method"], url, content=hostile.bytes("body"), headers=headers)


async def _intake_connection(stack: Stack, hostile: Input) -> None:
    sent = (octets.replace(b"{token}", TOKEN.encode()) for octets in sent_by(hostile))
    await status_of(_port(stack.relay), sent, within_s=WITHIN_S)


def _port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


PLAYS: Mapping[str, Callable[[Stack, Input], Awaitable[None]]] = {
    "text": _text,
    "followed record": _record,
    "event record": _record,
    "console request": _console_request,
    "console form": _console_form,
    "half-open": _half_open,
    "HubSpot answer": _answer,
    "sql": _sql,
    "outbox row": _row,
    "intake request": _intake_request,
    "intake connection": _intake_connection,
}
