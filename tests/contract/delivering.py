"""A worker's delivery, from lanes to the simulator, on a loop whose time flies; the way between them is unreliable."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace
from typing import Any, Final, cast

import httpx
from pydantic import SecretStr
from structlog.testing import capture_logs

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.resyncs import Resync, Resyncs
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import LaneWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.ordering.pending import Pending
from hubspot_consumer.worker.consumer import RecordConsumer
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.faults.faults import (
    DroppedConnection,
    Fault,
    FewerResults,
    RateLimitAnswer,
    SilentNoOp,
    Slow,
    StatusAnswer,
)
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from schemas.deliveries import Receipt, ReceiptOutcome
from schemas.envelope import Envelope
from tests.clock import LoopClock
from tests.parts import no_resync
from tests.samples import PORTAL_ID, TOKEN

PATHS_USED: Final = PATHS["2026-03"]
QUOTA, DAILY_LIMIT, MANY = 100, 250_000, 1_000_000
LONGEST_WAY_S: Final = 0.4
# Longer than everything that an event may have to wait for, one after the other.
STUCK_AFTER_S: Final = 26 * 3_600.0

_OF_ANY_CALL: Final[Mapping[str, Fault]] = {
    "502, not applied": Fault(answer=StatusAnswer(status=502, style="html")),
    "500, applied": Fault(answer=StatusAnswer(status=500), apply="after"),
    "524, applied": Fault(answer=StatusAnswer(status=524, style="html"), apply="after"),
    "dropped, not applied": Fault(answer=DroppedConnection()),
    "dropped, applied": Fault(answer=DroppedConnection(), apply="after"),
    "burst 429": Fault(answer=RateLimitAnswer()),
    "daily 429": Fault(answer=RateLimitAnswer(policy="daily")),
    "401": Fault(answer=StatusAnswer(status=401)),
    "423": Fault(answer=StatusAnswer(status=423)),
    "477": Fault(answer=StatusAnswer(status=477)),
    "late": Fault(answer=Slow(seconds=7)),
}
_OF_BATCHES: Final[Mapping[str, Fault]] = {
    "an input left out, not applied": Fault(answer=FewerResults()),
    "an input left out, applied": Fault(answer=FewerResults(), apply="after"),
    "nothing done": Fault(answer=SilentNoOp()),
}
# Of a call with several inputs; one alone would be taken at its word, and set aside.
_REFUSED: Final = Fault(answer=StatusAnswer(status=400))
PENDING: Final = "pending, applied"
REFUSED: Final = "400"
# Several times over what can happen to some calls alone.
ANSWERS: Final = ("as asked", *_OF_ANY_CALL, *_OF_BATCHES, PENDING, *(REFUSED,) * 4)


class Unreliable(httpx.AsyncBaseTransport):
    """The way to the simulator: each call takes its time, and goes wrong as the next of *answers* says."""

    def __init__(self, portal: Portal, answers: Iterable[str], chance: random.Random) -> None:
        self._portal = portal
        self._answers = list(answers)
        self._chance = chance
        self._simulator = httpx.ASGITransport(simulator_app(portal))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._chance.uniform(0, LONGEST_WAY_S))
        # Until the simulator has read the call nothing else runs.
        self._prepare(request)
        response = await self._simulator.handle_async_request(request)
        await asyncio.sleep(self._chance.uniform(0, LONGEST_WAY_S))
        return response

    def _prepare(self, request: httpx.Request) -> None:
        answer = self._answers.pop(0) if self._answers else ""
        self._portal.faults.rules.clear()
        writes = request.url.path.removeprefix(f"{PATHS_USED.contacts}/batch/") in ("create", "upsert", "update")
        self._portal.change_settings(batch_status="PENDING" if answer == PENDING and writes else "COMPLETE")
        if (fault := self._fault(request, answer)) is not None:
            self._portal.faults.add(fault)

    def _fault(self, request: httpx.Request, answer: str) -> Fault | None:
        if answer in _OF_ANY_CALL:
            return _OF_ANY_CALL[answer]
        if request.url.path == f"{PATHS_USED.contacts}/batch/read":
            # A look-up that tells nothing, time and again, is not worth waiting for: see `LaneWriter.look_up`.
            return None
        if answer == REFUSED:
            return _REFUSED if len(json.loads(request.content)["inputs"]) > 1 else None
        return None if request.url.path == PATHS_USED.send_events else _OF_BATCHES.get(answer)


class DeadLetterTopic:
    """Kafka, as far as dead letters need it: holds the offset and the reason of each."""

    def __init__(self) -> None:
        self.letters: list[tuple[int, str]] = []

    async def send_and_wait(self, _topic: str, *, headers: Sequence[tuple[str, bytes]], **_record: Any) -> None:
        named = dict(headers)
        self.letters.append((int(named["dead_letter.offset"]), named["dead_letter.reason"].decode()))


class TopicOfReceipts:
    """Kafka, as far as receipts need it: holds the offset and the outcome of each."""

    def __init__(self) -> None:
        self.receipts: list[tuple[int, ReceiptOutcome]] = []
        self.whole: list[Receipt] = []

    def put(self, _key: bytes, value: bytes, _let_go: Callable[[], None]) -> None:
        receipt = Receipt.model_validate_json(value)
        self.whole.append(receipt)
        self.receipts.append((receipt.offset, receipt.outcome))


class AllFinished:
    """The lag: all events of previous emails are finished."""

    def number_of(self, _key: ContactKey) -> int:
        return -1

    async def ends_of(self, _number: int) -> dict[Any, int]:
        return {}

    async def finished(self, _ends: dict[Any, int]) -> bool:
        return True


class NobodySuppressed:
    def contains(self, _key: ContactKey) -> bool:
        return False


@dataclass
class Delivered:
    """What became of events, each by its place among them: how often it was finished, and which are dead letters."""

    finished: Counter[int] = field(default_factory=Counter)
    dead: list[tuple[int, str]] = field(default_factory=list)
    # Each by its place too, in their order.
    receipts: list[tuple[int, ReceiptOutcome]] = field(default_factory=list)


class Worker:
    """Delivery and all that it stands on, new: it remembers no contact."""

    def __init__(
        self,
        portal: Portal,
        answers: Sequence[str],
        seed: int,
        through: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda way: way,
        resync: Resync = no_resync,
        id_property: str = EMAIL,
    ) -> None:
        self._clock = clock = LoopClock()
        self._chance = random.Random(seed)
        self._http = http_client(
            "http://hubspot", lambda: SecretStr(TOKEN), through(Unreliable(portal, answers, self._chance))
        )
        rate_limiter = RateLimiter(QUOTA, 10, DailyQuota(DAILY_LIMIT, clock), clock)
        client = HubSpotClient(self._http, rate_limiter, "2026-03", PORTAL_ID, id_property=id_property)
        self._topic = DeadLetterTopic()
        self._all_read = False
        # A hole is given up only when what fills it can't come any more.
        self._lanes = Lanes(clock, earlier_were_read=lambda *_: self._all_read)
        lease, telemetry = Lease(clock), Telemetry()
        self.telemetry = telemetry
        halt = CircuitBreaker(clock, resumed=self._lanes.stop_backing_off)
        lease.renew(inf)
        self._receipts, unwritable = TopicOfReceipts(), UnwritableProperties()
        receipts = Receipts(cast("Any", self._receipts), Offsets(), unwritable, clock)
        dead_letters = DeadLetterWriter(cast("Any", self._topic), "dead", clock, telemetry)
        rejections = Rejections(MANY, dead_letters, halt, clock, receipts)
        moves = ContactMoves(self._lanes, client, cast("Any", AllFinished()), clock)
        self.resyncs = Resyncs(resync, self._lanes, clock, telemetry)
        writer = LaneWriter(
            lanes=self._lanes,
            destination=client,
            contacts=ContactWriter(client, unwritable, halt, telemetry.upserted),
            timeline=Timeline(self._lanes, client, rejections, lease, halt),
            rejections=rejections,
            suppressions=cast("Any", NobodySuppressed()),
            moves=moves,
            lease=lease,
            breaker=halt,
            clock=clock,
            telemetry=telemetry,
            jitter=self._chance,
            receipts=receipts,
            resyncs=self.resyncs,
        )
        self._delivery = Dispatcher(self._lanes, client, writer, halt, lease)
        self._offsets = Offsets()
        self._consumer = RecordConsumer(
            lanes=self._lanes,
            delivery=self._delivery,
            offsets=self._offsets,
            alignment=cast("Any", SimpleNamespace(read=lambda _record: None)),
            suppressions=cast("Any", NobodySuppressed()),
            dead_letters=dead_letters,
            clock=clock,
            telemetry=telemetry,
            receipts=receipts,
        )

    async def deliver(self, events: Sequence[Envelope], arrivals: Sequence[int]) -> Delivered:
        """Deliver the events at the places that *arrivals* lists, in that order. Raises AssertionError when stuck."""
        # Thousands of lines, of which nobody reads one.
        with capture_logs():
            return await self._deliver(events, arrivals)

    async def _deliver(self, events: Sequence[Envelope], arrivals: Sequence[int]) -> Delivered:
        came = Delivered()
        # All at once, so that calls are about several contacts, or one after the other.
        waits_s = (0.0,) if self._chance.random() < 0.5 else (0.0, 0.01, 0.2, 2.0)
        async with self._delivering(lambda: len(arrivals) - came.finished.total()):
            for place in arrivals:
                self._add(events[place], place, came)
                if wait_s := self._chance.choice(waits_s):
                    await self._clock.sleep(wait_s)
        came.dead, came.receipts = self._topic.letters, self._receipts.receipts
        return came

    async def read(self, records: Sequence[Record]) -> list[Receipt]:
        """Read and deliver records as they are; return all receipts. Raises AssertionError when stuck."""
        with capture_logs():
            self._offsets.assigned({record.topic_partition: 0 for record in records})
            async with self._delivering(lambda: self._offsets.unfinished):
                for record in records:
                    await self._consumer.take(record)
        return self._receipts.whole

    @asynccontextmanager
    async def _delivering(self, unfinished: Callable[[], int]) -> AsyncIterator[None]:
        """Deliver during the context, in which everything is read, and on until nothing of it is *unfinished*."""
        running = asyncio.create_task(self._delivery.run())
        failed = asyncio.create_task(self._delivery.failed())
        resyncing = asyncio.create_task(self.resyncs.run())
        yield
        self._all_read = True
        deadline = self._clock.monotonic() + STUCK_AFTER_S
        while (left := unfinished()) > 0:
            assert self._clock.monotonic() < deadline, f"{left} are not finished"
            if failed.done():
                failed.result()
            await self._clock.sleep(1)
        for task in (running, failed, resyncing):
            task.cancel()
        await asyncio.wait({running, failed, resyncing})
        await self._http.aclose()

    def _add(self, event: Envelope, place: int, came: Delivered) -> None:
        record = Record(f"lifecycle.{event.type}", 0, place, datetime.now(UTC), b"", b"", [])
        pending = Pending(event.sequence, event, record, lambda: came.finished.update([place]))
        self._lanes.add(ContactKey(event.contact.email), pending)
        self._delivery.notify()
