"""Measures the console's page of dead letters: at first, again, and after one more was set aside."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer

from bench.backlog import BATCH_BYTES, rows
from bench.bed import PARTITIONS, Bed
from bench.contact_pages import milliseconds, signed_in
from bench.usage import cpu_s, peak_memory_mb
from producer.relay.row import partition_of
from sandbox.services import Service
from schemas.dead_letters import DeadLetter
from schemas.envelope import Headers
from schemas.topics import Topics

Row = Mapping[str, Any]

LETTERS: Final = 100_000
CONTACTS: Final = 20_000
REASONS: Final = ("rejected_by_hubspot", "rejected_by_hubspot", "invalid_envelope", "mapping_failed")
PAGES: Final = 100
CHANGES: Final = 5
TOPICS: Final = Topics("letters.")


async def dead_letters_page(bed: Bed) -> list[Row]:
    """The console's page with 100,000 open dead letters of three reasons, of both versions in turns."""
    bed.say(f"setting {LETTERS:,} events aside")
    await bed.create_topics(TOPICS)
    async with AsyncExitStack() as opened:
        producer = AIOKafkaProducer(bootstrap_servers=bed.stack.kafka.bootstrap_servers, max_batch_size=BATCH_BYTES)
        await opened.enter_async_context(producer)
        made = list(rows(LETTERS + CHANGES, CONTACTS))
        await asyncio.gather(*[await _set_aside(producer, number, row) for number, row in enumerate(made[:LETTERS])])
        consoles = dict[str, tuple[Service, httpx.AsyncClient]]()
        figures: dict[str, dict[str, list[float]]] = {}
        for version in bed.versions:
            folder = str(bed.directory / "letters" / version.name)
            own = {"KAFKA_TOPIC_PREFIX": TOPICS.prefix, "CONSOLE_FOLDER": folder}
            consoles[version.name] = await opened.enter_async_context(signed_in(bed, own, version))
            # The console indexes the records for its contact pages first.
            await _until_idle(consoles[version.name][0])
            first = await _until_shown(consoles[version.name][1], LETTERS)
            figures[version.name] = {"first": [first], "again": [], "changed": [], "cpu_s": []}
        for _ in range(PAGES):
            for name, (_, http) in consoles.items():
                figures[name]["again"].append(await _page(http, ""))
        for number in range(LETTERS, LETTERS + CHANGES):
            await (await _set_aside(producer, number, made[number]))
            for name, (service, http) in consoles.items():
                before = cpu_s(service.pid)
                figures[name]["changed"].append(await _until_shown(http, number + 1))
                figures[name]["cpu_s"].append(cpu_s(service.pid) - before)
        return [
            {
                "version": name,
                "dead letters": LETTERS,
                "first page in s": round(figures[name]["first"][0], 1),
                "page p50 ms": milliseconds(figures[name]["again"], 50),
                "page p99 ms": milliseconds(figures[name]["again"], 99),
                "page that shows one more, median ms": round(1_000 * median(figures[name]["changed"])),
                "CPU ms for it, median": round(1_000 * median(figures[name]["cpu_s"])),
                "peak MB": round(peak_memory_mb(service.pid)),
            }
            for name, (service, _) in consoles.items()
        ]


async def _set_aside(producer: AIOKafkaProducer, number: int, row: Any) -> Any:
    letter = DeadLetter(
        reason=REASONS[number % len(REASONS)],
        detail="400: Property values were not valid",
        topic=TOPICS.of(row.type),
        partition=partition_of(row, PARTITIONS),
        offset=number,
        attempts=3,
        failed_at=datetime.now(UTC) - timedelta(seconds=(LETTERS - number) % 86_400),
    )
    headers = letter.headers(Headers(row.id, row.type, row.sequence).encode())
    return await producer.send(TOPICS.dead_letters, row.payload.encode(), row.key.encode(), headers=headers)


async def _until_idle(service: Service) -> None:
    """Wait until a process uses less than a fifth of a core."""
    before = -1.0
    while (now := cpu_s(service.pid)) - before > 0.2:
        before = now
        await asyncio.sleep(1)


async def _until_shown(http: httpx.AsyncClient, letters: int) -> float:
    """Ask for the page until it shows that many dead letters; return the seconds that passed."""
    began = time.monotonic()
    while not await _page(http, f"of {letters:,}:"):  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def _page(http: httpx.AsyncClient, words: str) -> float:
    """Return the response time of the page; 0 if it lacks these words."""
    began = time.monotonic()
    text = (await http.get("/dead-letters")).raise_for_status().text
    return time.monotonic() - began if words in text else 0
