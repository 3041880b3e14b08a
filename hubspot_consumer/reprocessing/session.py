"""A session: what a run needs, connected and closed again. Where the parts of reprocessing are wired."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from hubspot_consumer.composition import hubspot_client
from hubspot_consumer.halt import HaltGate
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.lag import Lag
from hubspot_consumer.omissions import Omissions
from hubspot_consumer.portal import Portal
from hubspot_consumer.reprocessing.folded_topics import FoldedTopics
from hubspot_consumer.reprocessing.holding import Holding
from hubspot_consumer.reprocessing.plan import Plan
from hubspot_consumer.reprocessing.replay import Replay, Told
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.scan import Progress, Scan
from hubspot_consumer.reprocessing.selection import Selection
from hubspot_consumer.reprocessing.timeline_entries import TimelineEntries
from hubspot_consumer.reprocessing.writing import Writing
from hubspot_consumer.settings import Settings
from hubspot_consumer.suppressions import Suppressions
from hubspot_consumer.timeline import Timeline, TimelineMode
from runtime.clock import Clock, SystemClock
from schemas.contacts import ContactKey


class TopicsMissing(ValueError):
    """The topics of the events are not there, or some of them."""


class Session:
    """Reads, plans and writes for one run; connects to what each of these needs when it is needed."""

    def __init__(  # noqa: PLR0913 - what was asked for
        self, settings: Settings, run: Run, command: str, rate_share: float, *, timeline: bool, opened: AsyncExitStack
    ) -> None:
        self._settings: Final = settings
        self._kafka: Final = settings.client_options()
        self._clock: Final[Clock] = SystemClock()
        self._jitter: Final = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._opened = opened
        self._run = run
        self._command: Final = command
        self._rate_share: Final = rate_share
        self._timeline: Final = timeline
        self.report: Final = Report(settings.dead_letter_limit)
        self.report.go_on_from(run.store)

    async def folded_topics(self, selection: Selection, progress: Progress) -> FoldedTopics:
        """Read what *selection* asks for. Raises KafkaError, TopicsMissing and UnequalPartitions."""
        topics = self._settings.topics.events
        lag = Lag(self._kafka, self._settings.group, topics)
        self._opened.push_async_callback(lag.stop)
        await lag.start()
        if missing := await lag.missing_topics():
            raise TopicsMissing(f"no such topic: {', '.join(missing)}: run `python -m producer topics`")
        contacts = [ContactKey(contact) for contact in selection.contacts]
        numbers = {lag.number_of(contact) for contact in contacts}
        partitions = [each for each in lag.partitions if not numbers or each.partition in numbers]
        scan = Scan(self._kafka, partitions, self._run.store, self._clock, contacts)
        self._opened.push_async_callback(scan.stop)
        await scan.start()
        folded = FoldedTopics(self._run, scan, lag, selection)
        await folded.read(progress)
        return folded

    async def plan(self, folded: FoldedTopics) -> Plan:
        """Return what writing it takes, as far as that is known without asking HubSpot."""
        setting = self._settings.hubspot_timeline
        mode: TimelineMode = "custom_events" if setting == "auto" else setting
        calls_per_s = self._settings.hubspot_rate_limit * self._rate_share / self._settings.hubspot_rate_window_s
        tally = await folded.tally()
        return Plan.of(self._run.store.size, tally, mode if self._timeline else "off", calls_per_s)

    async def replay(self, folded: FoldedTopics, told: Told) -> None:
        """Write what was folded, at the run's part of the quota. Raises WrongPortal, AnotherRun and TooManyRefused."""
        halt = HaltGate(self._clock)
        client = self._client()
        async with self._holding() as holding:
            portal = self._portal(client, halt)
            await portal.check()
            timeline = Timeline(_Ours(), client, self.report, _Ours(), halt)
            if self._timeline:
                await portal.choose(timeline)
            writing = Writing(
                refolds=folded,
                destination=client,
                holding=holding,
                halt=halt,
                omissions=Omissions(),
                suppressed=(await self._suppressions()).holds,
                report=self.report,
                clock=self._clock,
                jitter=self._jitter,
            )
            entries = TimelineEntries(
                timeline=timeline,
                halt=halt,
                report=self.report,
                clock=self._clock,
                jitter=self._jitter,
                unfinished=folded.unfinished,
            )
            await Replay(self._run, folded, writing, entries if self._timeline else None, self.report).write(told)

    def _client(self) -> HubSpotClient:
        client, pacing = hubspot_client(self._settings, self._clock, self.report.count_call)
        self._opened.push_async_callback(client.close)
        pacing.divide(self._rate_share)
        return client

    def _portal(self, client: HubSpotClient, halt: HaltGate) -> Portal:
        return Portal(
            client,
            portal_id=self._settings.hubspot_portal_id or 0,
            timeline=self._settings.hubspot_timeline,
            halt=halt,
            clock=self._clock,
            jitter=self._jitter,
        )

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[Holding]:
        holding = Holding(
            self._kafka,
            self._settings.topics,
            self._settings.group,
            self._run.id,
            self._command,
            self._rate_share,
            self._clock,
            self._settings.kafka_replication_factor,
        )
        await holding.start()
        try:
            yield holding
        finally:
            await holding.stop()

    async def _suppressions(self) -> Suppressions:
        suppressions = Suppressions(self._kafka, self._settings.topics.suppressions, self._clock)
        self._opened.push_async_callback(suppressions.stop)
        await suppressions.start()
        return suppressions


class _Ours:
    """What a worker must ask before it writes is true here: the contacts are held."""

    valid: Final = True

    def holds(self, _fold: object) -> bool:
        return True


@asynccontextmanager
async def session(
    settings: Settings, run: Run, command: str, rate_share: float, *, timeline: bool = True
) -> AsyncIterator[Session]:
    """Open a session, and close what it connected to."""
    async with AsyncExitStack() as opened:
        yield Session(settings, run, command, rate_share, timeline=timeline, opened=opened)
