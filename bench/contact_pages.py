"""Measures how fast the console builds its index from Kafka, its size, and the response times of the contact page."""

import asyncio
import itertools
import math
import re
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer

from bench.backlog import BATCH_BYTES, publish, rows
from bench.bed import PARTITIONS, Bed
from bench.usage import cpu_s, peak_memory_mb
from console.contacts.index import FILE
from producer.relay.row import Row as Made
from producer.relay.row import partition_of
from sandbox.processes import free_port
from sandbox.services import Service, console
from sandbox.variants.product import THIS, Version
from schemas.deliveries import Receipt
from schemas.topics import Topics

Row = Mapping[str, Any]

EVENTS: Final = 500_000
CONTACTS: Final = 100_000
# The number of events of one busy contact, in addition to the others.
BUSY: Final = 5_000
BUSY_EMAIL: Final = "busy@example.com"
PAGES: Final = 200
# Each version builds an index from nothing for so long, in turns.
TURNS: Final = 3
TURN_S: Final = 15
AT: Final = datetime(2026, 11, 24, 3, tzinfo=UTC)
PROPERTIES: Final = (
    "nerava_contact_key",
    "nerava_event_sequence",
    "nerava_external_id",
    "nerava_last_nova_earned_at",
    "nerava_nova_balance_cents",
    "nerava_total_nova_earned_cents",
)


@dataclass(frozen=True)
class _Built:
    """What a console did until its index had *records*: what it took, and the response times of pages meanwhile."""

    records: int
    seconds: float
    cpu_s: float
    written_mib: float
    meanwhile: Sequence[float]


async def contact_pages(bed: Bed) -> list[Row]:
    """An index of half a million events with a receipt each, built from Kafka for 15 s by each version, three times in
    turns, while contacts' pages are asked for; then built to its end by this version, and 200 pages of it.
    """
    topics = Topics("pages.")
    await bed.create_topics(topics)
    await _publish(bed, topics)
    turns: dict[Version, list[_Built]] = {version: [] for version in bed.versions}
    for number in range(TURNS):
        for version, built in turns.items():
            async with _console(bed, topics, version, f"{version.name}-{number}") as (service, http, folder):
                built.append(await _build(service, http, folder, within_s=TURN_S))
                bed.say(f"{version.name}: {built[-1].records:,} records in {built[-1].seconds:.0f} s")
    async with _console(bed, topics, THIS, "whole") as (service, http, folder):
        one = await _build(service, http, folder)
        pages, busy = await _times(http, _emails(PAGES)), await _times(http, [BUSY_EMAIL] * PAGES)
        whole: dict[str, Any] = {
            "built whole, in s": round(one.seconds),
            "page p99 ms meanwhile": milliseconds(one.meanwhile, 99),
            "page p50 ms afterwards": milliseconds(pages, 50),
            "page p99 ms afterwards": milliseconds(pages, 99),
            f"page of {BUSY:,} events, p99 ms": milliseconds(busy, 99),
            "bytes an event with its receipt": round(_size(folder) / (EVENTS + BUSY)),
            "peak MB": round(peak_memory_mb(service.pid)),
        }
    return [
        {"version": version.name, **_figures(built), **(whole if version == THIS else dict.fromkeys(whole, "-"))}
        for version, built in turns.items()
    ]


def _figures(turns: Sequence[_Built]) -> dict[str, Any]:
    meanwhile = [seconds for turn in turns for seconds in turn.meanwhile]
    return {
        "records/s": round(median(turn.records / turn.seconds for turn in turns)),
        "CPU us a record": round(median(1e6 * turn.cpu_s / turn.records for turn in turns), 1),
        "bytes written a record": round(median(2**20 * turn.written_mib / turn.records for turn in turns)),
        "page p50 ms, index being built": milliseconds(meanwhile, 50),
        "page p99 ms, index being built": milliseconds(meanwhile, 99),
    }


@asynccontextmanager
async def _console(
    bed: Bed, topics: Topics, version: Version, name: str
) -> AsyncIterator[tuple[Service, httpx.AsyncClient, Path]]:
    """Run a console of *version* with an empty index in a folder of that name, and sign in."""
    folder = bed.directory / "console" / name
    async with signed_in(bed, {"KAFKA_TOPIC_PREFIX": topics.prefix, "CONSOLE_FOLDER": str(folder)}, version) as console:
        yield *console, folder


@asynccontextmanager
async def signed_in(
    bed: Bed, own: Mapping[str, str], version: Version
) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """Run a console of *version* with the settings *own*, and yield it with a client that is signed in."""
    environment = {**bed.stack.environment, **own, "CONSOLE_PORT": str(free_port())}
    service = console(bed.directory, environment, version)
    try:
        await service.launch_and_wait()
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            await _sign_in(http, environment["CONSOLE_OPERATOR_TOKEN"])
            yield service, http
    finally:
        await service.stop()


async def _publish(bed: Bed, topics: Topics) -> None:
    servers = bed.stack.kafka.bootstrap_servers
    bed.say(f"publishing {EVENTS:,} events of {CONTACTS:,} contacts, and {BUSY:,} of one")
    await publish(servers, topics, PARTITIONS, _made(), bed.say)
    bed.say("publishing a receipt of each")
    async with AIOKafkaProducer(bootstrap_servers=servers, acks=1, max_batch_size=BATCH_BYTES) as producer:
        batch, sent = producer.create_batch(), None
        for key, value in _receipts(_made(), topics):
            while batch.append(timestamp=None, key=key, value=value) is None:
                if sent is not None:
                    await sent
                sent = await producer.send_batch(batch, topics.deliveries, partition=0)
                batch = producer.create_batch()
        await (await producer.send_batch(batch, topics.deliveries, partition=0))


def _made() -> Iterator[Made]:
    busy = (
        row._replace(key=BUSY_EMAIL, payload=(row.payload or "").replace("contact0@example.com", BUSY_EMAIL))
        for row in rows(BUSY, 1)
    )
    return itertools.chain(rows(EVENTS, CONTACTS), busy)


def _receipts(made: Iterable[Made], topics: Topics) -> Iterator[tuple[bytes, bytes]]:
    offsets = Counter[tuple[str, int]]()
    for row in made:
        place = (topics.of(row.type), partition_of(row, PARTITIONS))
        receipt = Receipt(
            event_id=row.id,
            type=row.type,
            sequence=row.sequence,
            outcome="delivered",
            at=AT,
            attempts=1,
            topic=place[0],
            partition=place[1],
            offset=offsets[place],
            published_at=AT,
            contact_id=str(abs(hash(row.key))),
            properties=PROPERTIES,
        )
        offsets[place] += 1
        yield (row.key or "").encode(), receipt.model_dump_json().encode()


async def _sign_in(http: httpx.AsyncClient, token: str) -> None:
    page = await http.get("/sign-in")
    found = re.search(r'name="csrf" value="([\w-]+)"', page.text)
    csrf = found[1] if found else ""
    (await http.post("/sign-in", data={"token": token, "csrf": csrf}, follow_redirects=True)).raise_for_status()


async def _build(service: Service, http: httpx.AsyncClient, folder: Path, within_s: float = math.inf) -> _Built:
    """Ask for pages until the index is whole, but no longer than *within_s*."""
    began, cpu_before, times = time.monotonic(), cpu_s(service.pid), list[float]()
    while (seconds := time.monotonic() - began) < within_s:
        if await asyncio.to_thread(_indexed, folder) >= 2 * (EVENTS + BUSY):
            break
        times += await _times(http, _emails(2))
        await asyncio.sleep(0.2)
    records = await asyncio.to_thread(_indexed, folder)
    return _Built(records, seconds, cpu_s(service.pid) - cpu_before, _written_mib(service), times)


def _written_mib(service: Service) -> float:
    """Return what a process had the disk written, from Linux's /proc."""
    lines = Path(f"/proc/{service.pid}/io").read_text().splitlines()
    [written] = [line.split()[1] for line in lines if line.startswith("write_bytes:")]
    return int(written) / 2**20


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _indexed(folder: Path) -> int:
    # Each version has its own schema, but this table is the same in both.
    try:
        with closing(sqlite3.connect(f"{(folder / FILE).as_uri()}?mode=ro", uri=True)) as connection:
            found: int | None = connection.execute("SELECT sum(next - first) FROM partitions").fetchone()[0]
            return found or 0
    except sqlite3.DatabaseError:
        return 0


def _emails(number: int) -> list[str]:
    chance = Random()  # noqa: S311 - must vary, not be secret
    return [f"contact{chance.randrange(CONTACTS)}@example.com" for _ in range(number)]


async def _times(http: httpx.AsyncClient, emails: Iterable[str]) -> list[float]:
    times = []
    for email in emails:
        began = time.monotonic()
        (await http.get("/contacts", params={"q": email})).raise_for_status()
        times.append(time.monotonic() - began)
    return times


def milliseconds(times: Sequence[float], percent: int) -> float:
    """Return a percentile of *times*."""
    return round(quantiles(times, n=100)[percent - 1] * 1000, 1)
