"""Measures how fast the console builds its index from Kafka, its size, and the response times of the contact page."""

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer

from bench.backlog import BATCH_BYTES, publish, rows
from bench.bed import PARTITIONS, Bed, cpu_s, peak_memory_mb
from console.contacts.index import Index, IndexAway
from producer.relay.row import Row as Made
from producer.relay.row import partition_of
from sandbox.processes import free_port
from sandbox.services import console
from schemas.deliveries import Receipt
from schemas.topics import Topics

Row = Mapping[str, Any]

EVENTS: Final = 1_000_000
CONTACTS: Final = 100_000
# The number of events of one busy contact, in addition to the others.
BUSY: Final = 5_000
BUSY_EMAIL: Final = "busy@example.com"
PAGES: Final = 200
AT: Final = datetime(2026, 11, 24, 3, tzinfo=UTC)
PROPERTIES: Final = (
    "nerava_contact_key",
    "nerava_event_sequence",
    "nerava_external_id",
    "nerava_last_nova_earned_at",
    "nerava_nova_balance_cents",
    "nerava_total_nova_earned_cents",
)


async def contact_pages(bed: Bed) -> list[Row]:
    """An index of a million events with a receipt each, made from Kafka; then 200 contacts' pages, one by one."""
    topics = Topics("pages.")
    await bed.create_topics(topics)
    await _publish(bed, topics)
    folder = bed.directory / "console"
    environment = {
        **bed.stack.environment,
        "KAFKA_TOPIC_PREFIX": topics.prefix,
        "CONSOLE_FOLDER": str(folder),
        "CONSOLE_PORT": str(free_port()),
    }
    service = console(bed.directory, environment)
    try:
        await service.launch_and_wait()
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            await _sign_in(http, environment["CONSOLE_OPERATOR_TOKEN"])
            seconds, meanwhile = await _until_indexed(bed, http, folder, 2 * (EVENTS + BUSY))
            used = cpu_s(service)
            pages = await _times(http, _emails(PAGES))
            busy = await _times(http, [BUSY_EMAIL] * PAGES)
            memory = peak_memory_mb(service)
    finally:
        await service.stop()
    size = sum(file.stat().st_size for file in folder.iterdir())
    return [
        {
            "events, and receipts": EVENTS + BUSY,
            "made from Kafka in s": round(seconds),
            "records/s": round(2 * (EVENTS + BUSY) / seconds),
            "of which the console had the CPU for, s": round(used),
            "store, MiB": round(size / 2**20),
            "bytes an event with its receipt": round(size / (EVENTS + BUSY)),
            "peak MB": round(memory),
            "page p50 ms": _ms(pages, 50),
            "page p99 ms": _ms(pages, 99),
            f"page of {BUSY:,} events, p50 ms": _ms(busy, 50),
            f"page of {BUSY:,} events, p99 ms": _ms(busy, 99),
            "page p99 ms while the index is made": _ms(meanwhile, 99),
        }
    ]


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


async def _until_indexed(
    bed: Bed, http: httpx.AsyncClient, folder: Path, records: int
) -> tuple[float, Sequence[float]]:
    """Wait until the index has *records* records; return the seconds, and the response times of pages meanwhile."""
    began, told, times = time.monotonic(), 0, list[float]()
    while (indexed := await asyncio.to_thread(_indexed, folder)) < records:
        if indexed - told >= 200_000:
            told = indexed
            bed.say(f"{indexed:,} of {records:,} records indexed")
        times += await _times(http, _emails(2))
        await asyncio.sleep(0.5)
    return time.monotonic() - began, times


def _indexed(folder: Path) -> int:
    try:
        with Index(folder).reading() as connection:
            found: int | None = connection.execute("SELECT sum(next - first) FROM partitions").fetchone()[0]
            return found or 0
    except IndexAway:
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


def _ms(times: Sequence[float], percent: int) -> float:
    return round(quantiles(times, n=100)[percent - 1] * 1000, 1)
