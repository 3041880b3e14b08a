"""A replay on the simulator, without Kafka: its store is filled, nobody else holds contacts, and it can be killed."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import httpx
from pydantic import SecretStr

from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.timeline import Timeline, TimelineMode
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import TimelineEntry, Upsert
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.kafka.records import Offsets
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.resumable_writing import write_all
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunAccess
from hubspot_consumer.reprocessing.timeline_entries import TimelineEntries
from hubspot_consumer.reprocessing.writing import Writing
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from schemas.contacts import ContactKey
from tests.clock import LoopClock
from tests.samples import PORTAL_ID, TOKEN

MOST_REFUSED = 100


class Killed(Exception):
    """The process is gone."""


class Mortal(HubSpotClient):
    """Ends the process at its n-th call, before HubSpot hears of it or after."""

    dies_at = 0
    afterwards = False
    calls = 0

    async def upsert(self, inputs: Sequence[Upsert]) -> Any:
        self._live(before=True)
        answer = await super().upsert(inputs)
        self._live(before=False)
        return answer

    async def update(self, inputs: Sequence[Upsert]) -> Any:
        self._live(before=True)
        answer = await super().update(inputs)
        self._live(before=False)
        return answer

    async def send(self, entries: Sequence[TimelineEntry]) -> Any:
        self._live(before=True)
        answer = await super().send(entries)
        self._live(before=False)
        return answer

    def _live(self, *, before: bool) -> None:
        self.calls += before
        if self.dies_at and self.calls >= self.dies_at and before != self.afterwards:
            raise Killed


class QuietTopics:
    """The topics, of which everything was read, and what the workers' group has finished of them."""

    def __init__(self, ends: Offsets, unfinished: Offsets) -> None:
        self._ends, self._unfinished = ends, unfinished

    async def begin(self, *_: object) -> None:
        """It is read."""

    def go_on(self) -> bool:
        return True

    async def ends(self) -> Offsets:
        return self._ends

    async def unfinished(self) -> Offsets:
        return self._unfinished

    async def read_to(self, *_: object) -> None:
        """It is read."""

    async def follow(self) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    async def caught_up(self) -> None:
        """Nothing is added."""


class Alone:
    """Nobody else writes: every hold is entered at once."""

    def __init__(self) -> None:
        self.written: dict[ContactKey, int] = {}
        self.holds = 0

    @asynccontextmanager
    async def hold(self, keys: Collection[ContactKey]) -> AsyncIterator[Any]:
        self.holds += 1

        def written(key: ContactKey, sequence: int, _contact_id: str | None) -> None:
            assert key in keys
            self.written[key] = sequence

        yield SimpleNamespace(keys=frozenset(keys), written=written, time_left_s=60.0, touch=lambda: None)


async def replayed(
    portal: Portal,
    folder: Path,
    events: Sequence[Stored],
    *,
    selection: Selection | None = None,
    unfinished: Offsets | None = None,
    moves: Sequence[tuple[ContactKey, ContactKey]] = (),
    dies_at: int = 0,
    afterwards: bool = False,
    quota: int = 100,
    mode: TimelineMode = "custom_events",
    id_property: str = EMAIL,
    holding: Alone | None = None,
    suppressed: Collection[ContactKey] = (),
) -> Report:
    """Run a replay, or go on with the one in *folder*. Raises Killed."""
    selection = selection or Selection()
    ends = {(event.topic, event.partition): 10**6 for event in events}
    run = Run.open(folder, "replay", {}, LoopClock().now(), fresh=False)
    if not run.resumed:
        run.store.add(events, ends)
        for number, move in enumerate(moves, 1):
            run.store.note_move(*move, number)
        run.store.put_in_order()
    quiet = cast("Any", QuietTopics(ends, unfinished if unfinished is not None else ends))
    report = Report.model_validate({**run.store.fact("report", {}), "most_refused": MOST_REFUSED})
    topics = TopicProjections(run, quiet, quiet, selection, report)
    clock, jitter = LoopClock(), random.Random(1)
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        rate_limiter = RateLimiter(quota, 10, DailyQuota(250_000, clock), clock)
        client = Mortal(http, rate_limiter, "2026-03", PORTAL_ID, report.count_call, id_property)
        client.dies_at, client.afterwards = dies_at, afterwards
        halt, ours = CircuitBreaker(clock), cast("Any", SimpleNamespace(valid=True, owns=lambda _: True))
        retries = Retries(halt, clock, jitter)
        writing = Writing(
            projections=topics,
            destination=client,
            contacts=ContactWriter(client, UnwritableProperties(), halt),
            holding=cast("Any", holding or Alone()),
            breaker=halt,
            retries=retries,
            suppressed=suppressed.__contains__,
            report=report,
        )
        timeline = Timeline(ours, client, report, ours, halt)
        timeline.mode = mode
        entries = TimelineEntries(
            timeline=timeline,
            retries=retries,
            report=report,
            clock=clock,
            unfinished=unfinished if unfinished is not None else ends,
        )
        access = RunAccess(client, cast("Any", None), cast("Any", None), writing, entries)
        try:
            await topics.read(lambda _done, _total: None)
            await write_all(run, topics, access, report, clock, progress=lambda _: None)
            run.finish({})
        except BaseException:
            run.close(keep=True)
            raise
    return report
