"""A session: the connections of a run, opened and closed. It is the composition root of reprocessing."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from aiokafka import TopicPartition

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.resolution_writer import ResolutionWriter
from hubspot_consumer.dead_letters.resolutions import Redriven
from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.rejections import SEQUENCE_REUSED
from hubspot_consumer.delivery.timeline import Timeline, TimelineMode
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl, SendingPaused, read_paused
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.history.email_changes import EmailChanges
from hubspot_consumer.history.parallel_scan import Reading
from hubspot_consumer.history.plan import RunPlan
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.scan import MOST_BYTES, Scan
from hubspot_consumer.history.store import Stored
from hubspot_consumer.holds.run import RunHolds
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.records import Place
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.reprocessing.hubspot_reader import HubSpotReader
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.timeline_entries import TimelineEntries
from hubspot_consumer.reprocessing.writing import Writing
from hubspot_consumer.settings import Settings
from runtime.clock import Clock, SystemClock
from runtime.kafka.topic_reader import Progress, TopicReader
from runtime.kafka.topic_writer import connected_producer
from schemas.contacts import ContactKey
from schemas.dead_letters import LARGEST_DEAD_LETTER
from schemas.envelope import Headers, read_envelope


class Connection(Protocol):
    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Close the connection, even if its start failed."""


Started = TypeVar("Started", bound=Connection)


@dataclass(frozen=True)
class HubSpotAccess:
    """What a run needs to call HubSpot beside the workers, at its share of the quota."""

    client: HubSpotClient
    breaker: CircuitBreaker
    retries: Retries
    contacts: ContactWriter
    suppressions: Suppressions
    holds: RunHolds
    portal: Portal


@dataclass(frozen=True)
class RunAccess:
    """Access to HubSpot at the run's share of the quota, which workers leave free."""

    client: HubSpotClient
    reader: HubSpotReader
    suppressions: Suppressions
    writing: Writing
    entries: TimelineEntries

    async def write(self, keys: Sequence[ContactKey]) -> Collection[ContactKey]:
        """Write contacts and then their timeline entries; wait out temporary failures. Returns those written."""
        updates = await self.writing.write(keys)
        await self.entries.leave(updates)
        return {update.lane.key for update in updates}


class RunSession:
    """Reads and plans for one run, and gives it access to HubSpot; each connection is made when it is first needed."""

    def __init__(  # noqa: PLR0913 - the options of the run
        self, settings: Settings, run: Run, command: str, rate_share: float, *, timeline: bool, opened: AsyncExitStack
    ) -> None:
        self._settings: Final = settings
        self._kafka: Final = settings.client_options()
        self._opened = opened
        self._command: Final = command
        self.rate_share: Final = rate_share
        self._timeline: Final = timeline
        self._catalogue: DeadLetterCatalogue | None = None
        self.run: Final = run
        self.clock: Final[Clock] = SystemClock()
        self.report: Final = Report.model_validate(
            {**run.store.fact("report", {}), "most_refused": settings.dead_letter_limit}
        )

    async def keep_off_while_paused(self) -> None:
        """Raise SendingPaused if sending is paused, before the topics are read in vain. Raises KafkaError."""
        if (paused := await read_paused(self._kafka, self._settings.topics.controls, self.clock)) is not None:
            raise SendingPaused(paused)

    async def dead_letters(self) -> DeadLetterCatalogue:
        """Return the dead letters as of the first call. Raises KafkaError and TopicsMissing."""
        if self._catalogue is None:
            self._catalogue = await DeadLetterCatalogue.read(self._kafka, self._settings.topics)
        return self._catalogue

    async def projections(self, selection: Selection, progress: Progress) -> TopicProjections:
        """Read the events that *selection* needs, with the present dead letters and their corrections.

        Raises KafkaError, TopicsMissing and UnequalPartitions.
        """
        catalogue = await self.dead_letters()
        set_aside = selection.set_aside | catalogue.not_in_effect()
        selection = replace(selection, set_aside=set_aside, reused=catalogue.reused(), mends=catalogue.mends())
        lag = await _started(self._opened, Lag(self._kafka, self._settings.group, self._settings.topics.events))
        await lag.require_topics()
        reader = await _started(self._opened, TopicReader(self._kafka, fetch_max_bytes=MOST_BYTES))
        partitions, store, clock = lag.partitions, self.run.store, self.clock
        changes_from: dict[TopicPartition, int] = {}
        if selection.contacts:
            naming = self._settings.topics.of("merchant_contact_updated")
            partitions_of_moves = [partition for partition in partitions if partition.topic == naming]
            # This scan stores only the email changes of all contacts, and no events: no contact has an empty key.
            moves = Scan(reader, partitions_of_moves, store, clock, contacts=[ContactKey("")], mends=selection.mends)
            await moves.begin(None, {})
            await moves.read_to(await moves.ends(), lambda _done, _total: None)
            contacts = frozenset(EmailChanges(store).together(selection.contacts))
            store.keep_moves(contacts)
            selection = replace(selection, contacts=contacts)
            partitions = await lag.partitions_of(contacts)
            # A contact that gets another email meanwhile is left to the workers, wherever the key of that email is.
            changes_from = {TopicPartition(*one): at for one, at in store.positions().items() if one not in partitions}
        scan = Scan(
            reader,
            partitions,
            store,
            clock,
            contacts=selection.contacts,
            mends=selection.mends,
            changes_from=changes_from,
        )
        projections = TopicProjections(self.run, scan, lag, selection, self.report)
        secrets = self._settings.secrets
        reading = Reading(self._settings, self.run.file, partitions, selection.contacts, selection.mends, secrets)
        await projections.read(progress, reading)
        return projections

    async def plan(self, projections: TopicProjections) -> RunPlan:
        """Return the plan of the run, estimated without a call to HubSpot."""
        setting = self._settings.hubspot_timeline
        mode: TimelineMode = "custom_events" if setting == "auto" else setting
        calls_per_s = self._settings.hubspot_rate_limit * self.rate_share / self._settings.hubspot_rate_window_s
        tally = await projections.tally()
        return RunPlan.of(self.run.store.size, tally, mode if self._timeline else "off", calls_per_s)

    def resolution_writer(self) -> ResolutionWriter:
        """Return a writer of resolutions, which is closed with the session."""
        writer = ResolutionWriter(self._settings)
        self._opened.push_async_callback(writer.stop)
        return writer

    async def resolve_redriven(self) -> int:
        """Resolve the dead letters that took effect in this run as redriven, and return their number."""
        catalogue = await self.dead_letters()
        taken = [letter for letter in catalogue.open() if letter.event_id in self.report.redriven]
        await self.resolution_writer().resolve(taken, Redriven(at=self.clock.now(), run=self.run.id))
        return len(taken)

    async def never_set_aside(self, events: Mapping[Place, Stored]) -> list[Stored]:
        """Return those of *events*, by place, that are no dead letters by now. Raises KafkaError and TopicsMissing."""
        if not events:
            return []
        present = await DeadLetterCatalogue.read(self._kafka, self._settings.topics)
        places = present.places()
        return [event for place, event in events.items() if place not in places]

    async def set_aside(self, events: Iterable[Stored]) -> None:
        """Write events whose sequence another event has to the dead letters. Raises KafkaError."""
        producer = await connected_producer(self._kafka, max_request_size=LARGEST_DEAD_LETTER)
        self._opened.push_async_callback(producer.stop)
        writer = DeadLetterWriter(producer, self._settings.topics.dead_letters, self.clock, Telemetry())
        for event in events:
            envelope = read_envelope(event.key.encode(), event.value)
            headers = Headers(str(envelope.id), envelope.type, envelope.sequence).encode()
            record = replace(event.record(), headers=headers)
            await writer.put(record, SEQUENCE_REUSED.reason, SEQUENCE_REUSED.detail, attempts=0)

    @asynccontextmanager
    async def hubspot(self, *follow: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[HubSpotAccess]:
        """Give access to HubSpot, and do what *follow* begins meanwhile; a pause that begins later delays the calls.

        Raises SendingPaused if sending is paused already, KafkaError, WrongPortal, NotProvisioned and AnotherRun.
        """
        settings, topics, clock = self._settings, self._settings.topics, self.clock
        breaker, jitter = CircuitBreaker(clock), random.Random()  # noqa: S311 - spreads retries, guards nothing
        async with AsyncExitStack() as opened:
            controls = await _started(opened, PauseControl(self._kafka, topics.controls, clock, breaker))
            if breaker.paused is not None:
                raise SendingPaused(breaker.paused)
            client, rate_limiter = hubspot_client(settings, clock, self.report.count_call)
            opened.push_async_callback(client.close)
            rate_limiter.divide(self.rate_share)
            if self.run.resumed:
                rate_limiter.follow_another()
            suppressions = await _started(opened, Suppressions(self._kafka, topics.suppressions, clock))
            holds = await _started(
                opened, RunHolds(settings, settings.group, self.run.id, self._command, self.rate_share, clock)
            )
            works = (begin() for begin in (suppressions.follow, controls.follow, *follow))
            await opened.enter_async_context(_meanwhile(*works))
            portal = Portal(client, settings, breaker, clock, jitter)
            await portal.check()
            retries = Retries(breaker, clock, jitter)
            contacts = ContactWriter(client, UnwritableProperties(), breaker)
            yield HubSpotAccess(client, breaker, retries, contacts, suppressions, holds, portal)

    @asynccontextmanager
    async def access(self, projections: TopicProjections) -> AsyncIterator[RunAccess]:
        """Give access to HubSpot as `hubspot` does, and follow the topics."""
        async with self.hubspot(projections.scan.follow) as at:
            timeline = Timeline(_Ours(), at.client, self.report, _Ours(), at.breaker)
            timeline.mode = "off"
            if self._timeline:
                await at.portal.choose(timeline)
            writing = Writing(
                projections=projections,
                destination=at.client,
                contacts=at.contacts,
                holding=at.holds,
                breaker=at.breaker,
                retries=at.retries,
                suppressed=at.suppressions.contains,
                report=self.report,
            )
            entries = TimelineEntries(
                timeline=timeline,
                retries=at.retries,
                report=self.report,
                clock=self.clock,
                unfinished=projections.unfinished,
            )
            reader = HubSpotReader(at.client, at.retries)
            yield RunAccess(at.client, reader, at.suppressions, writing, entries)


async def _started(opened: AsyncExitStack, connection: Started) -> Started:
    """Return *connection* after its start; *opened* stops it at its end, or if the start fails."""
    opened.push_async_callback(connection.stop)
    await connection.start()
    return connection


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run *works*, which never end by themselves, during the context. Raises the exception of one that does."""
    tasks, user = [asyncio.create_task(work) for work in works], asyncio.current_task()
    faults: list[BaseException] = []

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None and user is not None:
            faults.append(fault)
            user.cancel()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if not faults or user is None:
            raise
        user.uncancel()
        raise faults[0] from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class _Ours:
    """The checks of a worker before a write, which always pass here: the run holds the contacts."""

    valid: Final = True

    def owns(self, _update: object) -> bool:
        return True
