"""A session: the connections of a run, opened and closed. It is the composition root of reprocessing."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.resolution_writer import ResolutionWriter
from hubspot_consumer.dead_letters.resolutions import Redriven
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.timeline import Timeline, TimelineMode
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl, SendingPaused, read_paused
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.history.email_changes import EmailChanges
from hubspot_consumer.history.plan import RunPlan
from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.holds.run import RunHolds
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.reprocessing.hubspot_reader import HubSpotReader
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.timeline_entries import TimelineEntries
from hubspot_consumer.reprocessing.writing import Writing
from hubspot_consumer.settings import Settings
from runtime.clock import Clock, SystemClock
from runtime.kafka.topic_reader import Progress
from schemas.contacts import ContactKey


@dataclass(frozen=True)
class RunAccess:
    """Access to HubSpot at the run's share of the quota, which workers leave free.

    *entries* is None if the run writes no timeline entries.
    """

    client: HubSpotClient
    held: HubSpotReader
    suppressions: Suppressions
    writing: Writing
    entries: TimelineEntries | None


class RunSession:
    """Reads and plans for one run, and gives it access to HubSpot; each connection is made when it is first needed."""

    def __init__(  # noqa: PLR0913 - the options of the run
        self, settings: Settings, run: Run, command: str, rate_share: float, *, timeline: bool, opened: AsyncExitStack
    ) -> None:
        self._settings: Final = settings
        self._kafka: Final = settings.client_options()
        self.clock: Final[Clock] = SystemClock()
        self._jitter: Final = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._opened = opened
        self._run = run
        self._command: Final = command
        self._rate_share: Final = rate_share
        self._timeline: Final = timeline
        self.report: Final = Report(settings.dead_letter_limit)
        self.report.go_on_from(run.store)

    async def keep_off_while_paused(self) -> None:
        """Raise SendingPaused if sending is paused, before the topics are read in vain. Raises KafkaError."""
        if (paused := await read_paused(self._kafka, self._settings.topics.controls, self.clock)) is not None:
            raise SendingPaused(paused)

    async def projections(self, selection: Selection, progress: Progress) -> TopicProjections:
        """Read the events that *selection* needs. Raises KafkaError, TopicsMissing and UnequalPartitions."""
        lag = Lag(self._kafka, self._settings.group, self._settings.topics.events)
        self._opened.push_async_callback(lag.stop)
        await lag.start()
        await lag.require_topics()
        partitions = lag.partitions
        if selection.contacts:
            selection = replace(selection, contacts=await self._all_keys(selection, lag))
            numbers = {lag.number_of(contact) for contact in selection.contacts}
            partitions = [partition for partition in partitions if partition.partition in numbers]
        scan = Scan(self._kafka, partitions, self._run.store, self.clock, selection.contacts, mends=selection.mends)
        self._opened.push_async_callback(scan.stop)
        await scan.start()
        folded = TopicProjections(self._run, scan, lag, selection, self.report)
        await folded.read(progress)
        return folded

    async def dead_letters(self) -> DeadLetterCatalogue:
        """Return the present dead letters. Raises KafkaError and TopicsMissing."""
        return await DeadLetterCatalogue.read(self._kafka, self._settings.topics, self.clock)

    def settlement(self) -> ResolutionWriter:
        """Return a writer of resolutions, which is closed with the session."""
        settlement = ResolutionWriter(self._settings)
        self._opened.push_async_callback(settlement.stop)
        return settlement

    async def settle(self, catalogue: DeadLetterCatalogue) -> int:
        """Resolve the dead letters that took effect in this run as redriven, and return their number."""
        taken = [letter for letter in catalogue.open() if letter.event_id in self.report.redriven]
        if taken:
            await self.settlement().resolve(taken, Redriven(at=self.clock.now(), run=self._run.id))
        return len(taken)

    async def plan(self, folded: TopicProjections) -> RunPlan:
        """Return the plan of the run, estimated without a call to HubSpot."""
        setting = self._settings.hubspot_timeline
        mode: TimelineMode = "custom_events" if setting == "auto" else setting
        calls_per_s = self._settings.hubspot_rate_limit * self._rate_share / self._settings.hubspot_rate_window_s
        tally = await folded.tally()
        return RunPlan.of(self._run.store.size, tally, mode if self._timeline else "off", calls_per_s)

    @asynccontextmanager
    async def access(self, folded: TopicProjections) -> AsyncIterator[RunAccess]:
        """Give access to HubSpot; a pause that begins later delays the calls.

        Raises SendingPaused if sending is paused already, KafkaError, WrongPortal and AnotherRun.
        """
        halt = CircuitBreaker(self.clock)
        controls = PauseControl(self._kafka, self._settings.topics.controls, self.clock, halt)
        self._opened.push_async_callback(controls.stop)
        await controls.start()
        if halt.paused is not None:
            raise SendingPaused(halt.paused)
        client, rate_limiter = hubspot_client(self._settings, self.clock, self.report.count_call)
        self._opened.push_async_callback(client.close)
        rate_limiter.divide(self._rate_share)
        if self._run.resumed:
            rate_limiter.follow_another()
        suppressions = Suppressions(self._kafka, self._settings.topics.suppressions, self.clock)
        self._opened.push_async_callback(suppressions.stop)
        await suppressions.start()
        async with self._holding() as holding, _meanwhile(suppressions.follow()), _meanwhile(controls.follow()):
            portal = Portal(client, self._settings, halt, self.clock, self._jitter)
            await portal.check()
            timeline = Timeline(_Ours(), client, self.report, _Ours(), halt)
            if self._timeline:
                await portal.choose(timeline)
            retries = Retries(halt, self.clock, self._jitter)
            writing = Writing(
                projections=folded,
                destination=client,
                contacts=ContactWriter(client, UnwritableProperties(), halt),
                holding=holding,
                breaker=halt,
                retries=retries,
                suppressed=suppressions.contains,
                report=self.report,
            )
            entries = TimelineEntries(
                timeline=timeline,
                retries=retries,
                report=self.report,
                clock=self.clock,
                unfinished=folded.unfinished,
            )
            held = HubSpotReader(client, retries)
            yield RunAccess(client, held, suppressions, writing, entries if self._timeline else None)

    async def _all_keys(self, selection: Selection, lag: Lag) -> frozenset[ContactKey]:
        """Return the selected contacts with their other keys, from earlier and later emails."""
        naming = self._settings.topics.of("merchant_contact_updated")
        partitions = [partition for partition in lag.partitions if partition.topic == naming]
        # This scan stores only the email changes of all contacts, and no events, because no contact has an empty key.
        scan = Scan(self._kafka, partitions, self._run.store, self.clock, [ContactKey("")], mends=selection.mends)
        await scan.start()
        try:
            await scan.begin(None, {})
            await scan.read_to(await scan.ends(), lambda _done, _total: None)
        finally:
            await scan.stop()
        return EmailChanges(self._run.store).with_others(selection.contacts)

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[RunHolds]:
        holding = RunHolds(
            self._settings, self._settings.group, self._run.id, self._command, self._rate_share, self.clock
        )
        await holding.start()
        try:
            yield holding
        finally:
            await holding.stop()


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Ours:
    """The checks of a worker before a write, which always pass here: the run holds the contacts."""

    valid: Final = True

    def owns(self, _fold: object) -> bool:
        return True


@asynccontextmanager
async def session(
    settings: Settings, run: Run, command: str, rate_share: float, *, timeline: bool = True
) -> AsyncIterator[RunSession]:
    """Open a session, and close its connections at the end."""
    async with AsyncExitStack() as opened:
        yield RunSession(settings, run, command, rate_share, timeline=timeline, opened=opened)
