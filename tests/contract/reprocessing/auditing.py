"""An audit of the simulator, without Kafka: by an export, or by a read for each hundred contacts."""

import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import httpx
from pydantic import SecretStr

from hubspot_consumer.cli.audit import _snapshot
from hubspot_consumer.cli.progress import Display
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.records import Offsets
from hubspot_consumer.reprocessing.audit import Audit
from hubspot_consumer.reprocessing.comparison import ContactDifference
from hubspot_consumer.reprocessing.hubspot_reader import HubSpotReader
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.contract.replaying import QuietTopics
from tests.samples import PORTAL_ID, TOKEN, envelope, value

MANY = 10**6


class SharedClock(OwnedClock):
    """A clock whose sleeps are the portal's too."""

    def __init__(self, portal: Portal) -> None:
        super().__init__()
        self._portal = portal

    async def sleep(self, seconds: float) -> None:
        self._portal.clock.advance(timedelta(seconds=max(0.0, seconds)))
        await super().sleep(seconds)


class Heard(Display):
    """Remembers what people are told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, *lines: str, **_facts: Any) -> None:
        self.lines += lines


class Audited(NamedTuple):
    found: list[ContactDifference]
    compared: int
    read: int
    reused: int
    calls: int
    told: list[str]

    @property
    def differences(self) -> list[tuple[str, str, str, str]]:
        """What was found, in an order of its own."""
        return sorted((each.contact, each.kind, each.name, each.held) for each in self.found)


def stored(email: str, sequence: int, event_type: str, offset: int, **changes: Any) -> Stored:
    made = envelope(event_type, sequence, email, **changes)
    made["id"] = f"00000000-0000-4000-8000-{offset:012}"
    return Stored(email, sequence, f"lifecycle.{event_type}", 0, offset, offset, value(made))


async def audited(
    portal: Portal,
    folder: Path,
    events: Sequence[Stored],
    *,
    by_export: bool,
    moves: Sequence[tuple[ContactKey, ContactKey]] = (),
    unfinished: Offsets | None = None,
) -> Audited:
    """Audit all contacts of *events*, as the command does; by reads where HubSpot gives no export."""
    ends = {(event.topic, event.partition): MANY for event in events}
    unfinished = ends if unfinished is None else unfinished
    run = Run.open(folder, f"audit-{by_export}", {}, OwnedClock().now(), fresh=True)
    run.store.add(events, ends)
    for number, move in enumerate(moves, 1):
        run.store.note_move(*move, number)
    quiet = cast("Any", QuietTopics(ends, unfinished))
    topics = TopicProjections(run, quiet, quiet, Selection(dead_letters=False), Report(most_refused=100))
    clock, transport = SharedClock(portal), httpx.ASGITransport(simulator_app(portal))
    before = portal.log.total
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        rate_limiter = RateLimiter(MANY, 10, DailyQuota(MANY, clock), clock)
        client = HubSpotClient(http, rate_limiter, "2026-09", PORTAL_ID, lambda _call: None)
        reader = HubSpotReader(client, Retries(CircuitBreaker(clock), clock, random.Random(1)))
        access = SimpleNamespace(suppressions=SimpleNamespace(contains=lambda _: False), client=client, reader=reader)
        session, display = cast("Any", SimpleNamespace(run=run, clock=clock)), Heard()
        try:
            await topics.read(lambda _done, _total: None)
            async with _snapshot(session, cast("Any", access), topics, display, MANY if by_export else 0) as snapshot:
                audit = Audit(topics, cast("Any", access), snapshot)
                found = await audit.compare(keys for keys, _ in topics.batches(after=ContactKey("")))
        finally:
            run.close(keep=False)
            (folder / "snapshot.sqlite").unlink(missing_ok=True)
    calls = portal.log.total - before
    return Audited(found, audit.compared, audit.read, len(audit.reused), calls, display.lines)
