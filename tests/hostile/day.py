"""The hostile day: each input of the file is played into a running stack, by the surface that it reaches."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import uuid4

import httpx
import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from console.web.access import SIGN_OUT
from sandbox.processes import free_port
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.texts import encodable
from schemas.topics import Topics
from tests.console.server import sign_in
from tests.console.working import post
from tests.hostile.hubspot import give, read_request
from tests.hostile.inputs import Input, octets, text
from tests.hostile.records import send
from tests.hostile.sockets import sent_by, status_of, until_closed
from tests.outbox.intake import TOKEN
from tests.pipeline import OPERATOR_TOKEN, PARTITIONS, Pipeline

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
    intake: httpx.AsyncClient
    # A second worker is behind it, with topics of its own: its events wait while its HubSpot fails, and only those.
    hubspot: "Interposed"
    second_topics: Topics
    acting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def services(self) -> tuple[Service, ...]:
        return (self.relay, self.worker, self.console)


class Interposed:
    """A proxy before HubSpot's simulator. Each of `answers` is given to one write, everything else is forwarded."""

    def __init__(self, base_url: str) -> None:
        self.answers: Final = deque[Input]()
        self._http: Final = httpx.AsyncClient(base_url=base_url, timeout=WITHIN_S)
        self._connections: Final = set[asyncio.Task[None]]()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._http.aclose()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while True:
                    head, body = await read_request(reader)
                    if head.startswith(b"POST") and self.answers:
                        return await give(self.answers.popleft(), writer)
                    writer.write(await self._forward(head, body))
                    await writer.drain()
            finally:
                writer.close()

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = request.split(" ")
        named = dict(line.split(": ", 1) for line in lines if line)
        given = {name: named[name] for name in named if name.lower() in ("authorization", "content-type")}
        answer = await self._http.request(method, path, content=body, headers=given)
        kept = [(name, value) for name, value in answer.headers.items() if name not in ("content-length", "connection")]
        headers = "".join(f"{name}: {value}\r\n" for name, value in kept)
        begin = f"HTTP/1.1 {answer.status_code} X\r\n{headers}Content-Length: {len(answer.content)}\r\n\r\n"
        return begin.encode("latin-1") + answer.content


async def second_worker(pipeline: Pipeline, hubspot_url: str, **environment: str) -> tuple[Service, Topics]:
    """Start a worker with topics of its own, whose HubSpot is at *hubspot_url*."""
    topics = Topics(f"{pipeline.topics.prefix}second.")
    await create_topics(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], topics, PARTITIONS)
    more = {"KAFKA_TOPIC_PREFIX": topics.prefix, "CONSUMER_GROUP": topics.prefix, "CONSUMER_PORT": str(free_port())}
    worker = pipeline.consumer(**environment, **more, HUBSPOT_API_BASE_URL=hubspot_url)
    await worker.launch_and_wait()
    return worker, topics


@asynccontextmanager
async def reached(
    pipeline: Pipeline, relay: Service, worker: Service, console: Service, hubspot: Interposed, topics: Topics
) -> AsyncIterator[Stack]:
    """Yield the stack with connections to all its surfaces. *hubspot* is the second worker's, with these *topics*."""
    servers = pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    largest = 64 * 1024 * 1024
    async with (
        AIOKafkaProducer(bootstrap_servers=servers, max_request_size=largest, compression_type="gzip") as kafka,
        await pipeline.connect() as database,
        httpx.AsyncClient(base_url=console.url, timeout=WITHIN_S) as operator,
        httpx.AsyncClient(base_url=relay.url, timeout=WITHIN_S) as intake,
    ):
        await sign_in(operator, OPERATOR_TOKEN)
        yield Stack(pipeline, relay, worker, console, kafka, database, operator, intake, hubspot, topics)


async def play(stack: Stack, hostile: Input) -> None:
    """Play one input. The tests of its surface check its outcome; here only the stack's survival counts."""
    await PLAYS[hostile.surface](stack, hostile)


async def _record(stack: Stack, hostile: Input) -> None:
    topics = stack.pipeline.topics
    with suppress(KafkaError):
        await send(hostile, stack.kafka, topics)
    if hostile.get("topic") == "controls":
        # A pause is right to stop everything: it is ended at once, as a person would.
        await stack.kafka.send_and_wait(topics.controls, None, key=SENDING, partition=0)


async def _text(stack: Stack, hostile: Input) -> None:
    """Play a text as a note of people, as an id of the contact, and as a detail of a dead letter."""
    words = text(hostile["text"])[:900_000]
    note = json.dumps({"paused": False, "at": "2026-11-24T03:00:00Z", "note": words}).encode()
    topics = stack.pipeline.topics
    detail = [("dead_letter.detail", encodable(words).encode())]
    contact = {"email": f"text-{uuid4().hex[:8]}@example.com", "external_id": words}
    value = octets({"envelope": {"id": str(uuid4()), "contact": contact}})
    for topic, key, given, headers in (
        (topics.controls, SENDING, note, []),
        (topics.dead_letters, b"text@example.com", b"x", detail),
        (topics.of("nova_earned"), contact["email"].encode(), value, []),
    ):
        with suppress(KafkaError):
            await stack.kafka.send_and_wait(topic, given, key=key, headers=headers)


async def _console_request(stack: Stack, hostile: Input) -> None:
    await status_of(_port(stack.console), sent_by(hostile), within_s=WITHIN_S)


async def _half_open(stack: Stack, hostile: Input) -> None:
    await asyncio.gather(
        *(until_closed(_port(each), sent_by(hostile), hostile.get("every_s", 0)) for each in stack.services)
    )


async def _console_form(stack: Stack, hostile: Input) -> None:
    async with stack.acting:
        await post(stack.operator, hostile)
        if hostile["path"] == SIGN_OUT:
            await sign_in(stack.operator, OPERATOR_TOKEN)


async def _console_page(stack: Stack, hostile: Input) -> None:
    await stack.operator.get(text(hostile["path"]))


async def _answer(stack: Stack, hostile: Input) -> None:
    """Give the answer to the second worker, and an event for which it makes a call."""
    stack.hubspot.answers.append(hostile)
    email = f"answer-{uuid4().hex[:8]}@example.com"
    value = octets({"envelope": {"id": str(uuid4()), "contact": {"email": email, "external_id": None}}})
    await stack.kafka.send_and_wait(stack.second_topics.of("nova_earned"), value, key=email.encode())


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
    "console page": _console_page,
    "half-open": _half_open,
    "HubSpot answer": _answer,
    "sql": _sql,
    "outbox row": _row,
    "intake request": _intake_request,
    "intake connection": _intake_connection,
}
