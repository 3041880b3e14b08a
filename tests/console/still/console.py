"""That console, served: wired as `python -m console serve` does it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page
from pydantic import SecretStr

import console.control
import console.overview.source
import console.serve
from console.audit_log import AuditLog
from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from console.contacts.indexer import IndexState
from console.contacts.outbox import OutboxContact, Parked, Unpublished
from console.contacts.present import PresentState
from console.dead_letters.cache import DeadLetterCache
from console.overview.backlog import OutboxBacklog, TopicsBacklog
from console.serve import wire
from hubspot_consumer.dead_letters.dead_letter import dead_letters_of, read_set_aside
from hubspot_consumer.mapping import contact_properties
from hubspot_consumer.settings import Settings as ConsumerSettings
from runtime.clock import SystemClock
from runtime.http.server import serving
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from sandbox.processes import free_port
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from tests.console.server import settings
from tests.console.still.clock import NOW, StillClock
from tests.console.still.past import remember
from tests.console.still.records import ADAS_LETTER, EVENTS, LETTERS_READ, RECORDS, USER, resolutions
from tests.console.still.runs import leave
from tests.console.still.services import PRODUCER, WORKERS, Services
from tests.console.still.times import StillTimes
from tests.kafka.kafka_records import TOPICS
from tests.samples import EMAIL, PORTAL_ID, TOKEN
from tests.unit.console.test_console_dead_letters import Reader

HUBSPOT = "http://hubspot.example.com"
# It goes on for so long before it is looked at.
MINUTES = 2
STEP_S = 2.0
# Of the kinds of pages, those that ask for something after they are shown.
ASK_LATER = frozenset({"overview", "contact", "replay", "replay-plan", "replay-running"})
DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@dataclass(frozen=True)
class StillConsole:
    """The console's address, its runs' ids by name, and what can be let go on."""

    url: str
    runs: Mapping[str, str]
    clock: StillClock
    services: Services

    @property
    def pages(self) -> Mapping[str, str]:
        """The addresses of all kinds of pages, by name."""
        return {
            "overview": "/",
            "contact-search": "/contacts",
            "contact": f"/contacts?q={EMAIL}",
            "contact-unknown": "/contacts?q=nobody@example.com",
            "dead-letters": "/dead-letters",
            "dead-letter": f"/dead-letters/{ADAS_LETTER}",
            "replay": "/replay",
            "replay-plan": f"/runs/{self.runs['replay_plan']}",
            "replay-running": f"/runs/{self.runs['replay']}",
            "redrive-plan": f"/runs/{self.runs['redrive_plan']}",
            "doctor": f"/runs/{self.runs['doctor']}",
            "control": "/control",
            "not-found": "/runs/none",
        }

    async def show(self, page: Page, name: str) -> None:
        """Open a kind of page, with all that it asks for."""
        await page.goto(self.pages[name], wait_until="networkidle" if name in ASK_LATER else "load")


class _Letters(Reader):
    """The dead letters of that day."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.known = dead_letters_of([read_set_aside(each, TOPICS) for each in LETTERS_READ], resolutions())
        self.there = LETTERS_READ

    async def letters(self) -> DeadLetterCache:
        return replace(await super().letters(), at=NOW)

    async def stop(self) -> None:
        """Do nothing: there is no connection."""


class _Outbox:
    """The outbox, in which nothing of Ada's waits."""

    def __init__(self, *_: Any) -> None:
        pass

    async def contact_of(self, external_id: str) -> ContactKey | None:
        return ContactKey(EMAIL) if external_id == USER else None

    async def of(self, key: ContactKey, _before: int, _most: int) -> tuple[OutboxContact | None, list[Unpublished]]:
        return (OutboxContact(USER, 15) if key == EMAIL else None), []

    async def parked(self, _external_id: str, _most: int) -> list[Parked]:
        return []


class _Indexer:
    """The index has all that there is, and the workers have acked all but the last event."""

    def __init__(self, *_: Any) -> None:
        acked = {(record.topic, record.partition): record.offset + 1 for _, record in EVENTS[:-1]}
        self.state = IndexState(behind=0, records=len(RECORDS), acked=acked)

    async def follow(self) -> None:
        await asyncio.Event().wait()


def _patch(patched: pytest.MonkeyPatch, services: Services, portal: Portal) -> None:
    async def asked_topics(*_: Any) -> TopicsBacklog:
        return TopicsBacklog(services.lag(), int(services.events()))

    async def asked_outbox(*_: Any) -> OutboxBacklog:
        return OutboxBacklog(18, timedelta(seconds=1.4), 3)

    async def nothing(*_: Any) -> None:
        return None

    async def each_at_its_own(addresses: Iterable[str]) -> Sequence[str]:
        return list(addresses)

    def present(consumer: ConsumerSettings, index: Index, _: StillClock) -> PresentState:
        # Its calls are spaced, which takes some time.
        return PresentState(consumer, index, SystemClock(), httpx.ASGITransport(simulator_app(portal)))

    patched.setattr("console.overview.backlog.TopicsReader.ask", asked_topics)
    patched.setattr(console.serve, "ask_outbox", asked_outbox)
    patched.setattr(console.serve, "ContactsOutbox", _Outbox)
    patched.setattr(console.serve, "EventTimes", StillTimes)
    patched.setattr(console.serve, "Indexer", _Indexer)
    patched.setattr(console.serve, "LettersReader", _Letters)
    patched.setattr(console.serve, "PresentState", present)
    patched.setattr(console.overview.source, "processes", each_at_its_own)
    patched.setattr(console.control, "processes", each_at_its_own)
    patched.setattr(console.control, "read_paused", nothing)
    patched.setattr(AuditLog, "_write", nothing)


async def _hubspot() -> Portal:
    """Return a portal that holds Ada as her events say, but for what somebody edited there."""
    portal = Portal(PORTAL_ID, [TOKEN])
    await provision(portal)
    properties: dict[str, str] = {}
    for happened, record in EVENTS:
        if happened.end == "delivered":
            properties |= contact_properties(read_envelope(record.key, record.value or b""))
    transport = httpx.ASGITransport(simulator_app(portal))
    async with httpx.AsyncClient(
        transport=transport, base_url=HUBSPOT, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as http:
        inputs = [{"id": EMAIL, "idProperty": "email", "properties": {**properties, "nerava_nova_balance_cents": "7"}}]
        (await http.post("/crm/objects/2026-03/contacts/batch/upsert", json={"inputs": inputs})).raise_for_status()
    return portal


def _fill(folder: Path) -> None:
    index = Index(folder)
    index.open()
    last = {(each.topic, each.partition): each for each in RECORDS}
    index.add(rows_of(RECORDS, TOPICS), {key: Reached(0, each.offset + 1, 0) for key, each in last.items()})
    index.close()


@asynccontextmanager
async def still_console(folder: Path) -> AsyncIterator[StillConsole]:
    """Serve that console, with all its files in *folder*."""
    consumer = ConsumerSettings(
        kafka_bootstrap_servers="kafka.example.com:9092",
        hubspot_private_app_token=SecretStr(TOKEN),
        hubspot_portal_id=PORTAL_ID,
        hubspot_api_base_url=HUBSPOT,
        hubspot_enabled=True,
        hubspot_send_live=True,
    )
    own = settings(folder, database_url=DATABASE, console_producers=PRODUCER, console_consumers=", ".join(WORKERS))
    clock = StillClock(MINUTES * 60)
    services, portal, port = Services(clock, consumer), await _hubspot(), free_port()
    _fill(folder)
    remember(folder, MINUTES * 60)
    async with AsyncExitStack() as opened:
        runs = leave(folder, opened.enter_context(ExitStack()))
        _patch(opened.enter_context(pytest.MonkeyPatch.context()), services, portal)
        http = await opened.enter_async_context(services.http)
        wired = wire(own, consumer, http, clock)
        works = [asyncio.create_task(work()) for work in wired.works]
        opened.callback(lambda: [work.cancel() for work in works])
        await _gone_by(clock, works)
        await opened.enter_async_context(serving(wired.app, port, "CONSOLE_PORT", "127.0.0.1"))
        yield StillConsole(f"http://127.0.0.1:{port}", runs, clock, services)


async def _gone_by(clock: StillClock, works: Sequence[asyncio.Task[None]]) -> None:
    # Each work sleeps between its polls, and so does each source of a process; the indexer does not.
    await clock.until_asleep(len(works) - 1 + len((PRODUCER, *WORKERS)))
    while clock.monotonic() < MINUTES * 60:
        await clock.advance(STEP_S)
