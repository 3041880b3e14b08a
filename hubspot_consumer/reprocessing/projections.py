"""The projections of a run: it reads the topics, follows them, and projects each contact from its events."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from aiokafka.errors import GroupCoordinatorNotAvailableError

from hubspot_consumer.delivery.destination import Destination
from hubspot_consumer.history.email_changes import EmailChanges, WaitForSlot
from hubspot_consumer.history.plan import Tally, tallied
from hubspot_consumer.history.projection import Projection, Projector
from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.outcomes import Halt, RetryLater
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.records import Offsets
from hubspot_consumer.reprocessing.comparison import Expected, expected_of
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.trials import Trials
from runtime.kafka.topic_reader import Progress
from schemas.contacts import ContactKey

# Contacts, or their events, between two journal entries: so many that nearly all calls are full.
CONTACTS_AT_ONCE: Final = 2_000
EVENTS_AT_ONCE: Final = 30_000
TIMES_ASKED: Final = 20
ASK_AGAIN_S: Final = 0.5
_FIRST: Final = ContactKey("")


class TopicProjections:
    """Projects the contacts of *selection*; *report* counts the email changes that are made in HubSpot.

    `unfinished` are the offsets that the workers' group had reached when the run began.
    """

    def __init__(self, run: Run, scan: Scan, lag: Lag, selection: Selection, report: Report) -> None:
        self._run = run
        self._scan = scan
        self._lag = lag
        self._asked: Final = selection
        self.unfinished: Offsets = {}
        self.moved: Final = EmailChanges(run.store, report.count_move)
        self._refolding = Projector(selection, {})

    async def read(self, progress: Progress) -> None:
        """Read the topics to their ends at the start of the run. Raises KafkaError."""
        store = self._run.store
        if not (store.fact("ends") and self._scan.go_on()):
            unfinished = await self._unfinished_at_first()
            await self._scan.begin(self._asked.since, unfinished)
            store.keep(unfinished=_as_rows(unfinished), ends=_as_rows(await self._scan.ends()))
        ends = _as_offsets(store.fact("ends"))
        self.unfinished = _as_offsets(store.fact("unfinished"))
        await self._scan.read_to(ends, progress)
        await asyncio.to_thread(store.put_in_order)
        self._refolding = Projector(replace(self._asked, before=ends), self.unfinished)

    async def _unfinished_at_first(self) -> Offsets:
        # A new broker creates its topic of consumer groups on the first request, so the request is repeated.
        for _ in range(TIMES_ASKED):
            with suppress(GroupCoordinatorNotAvailableError):
                return await self._lag.unfinished()
            await asyncio.sleep(ASK_AGAIN_S)
        return await self._lag.unfinished()

    async def tally(self) -> Tally:
        """Project all contacts once, and return the counts."""
        return await tallied(self._run.file, self._run.store, self._refolding)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Read new records of the topics during the context."""
        following = asyncio.create_task(self._scan.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def caught_up(self) -> None:
        """Return when the topics were read to their present ends; they must be `followed`."""
        await self._scan.caught_up()

    async def unfinished_now(self) -> Offsets:
        """Return the offsets that the workers' group has reached by now. Raises KafkaError."""
        return await self._lag.unfinished()

    def project(self, key: ContactKey, trials: Trials | None = None) -> Projection:
        """Return the projection of a contact from the events read so far."""
        return self._refolding.project(key, *self._histories(key), without=trials.without(key) if trials else ())

    def expected(self, key: ContactKey, contact: RemoteContact | None, unfinished: Offsets) -> Expected:
        """Return the expected state of a remote *contact*, from the events read so far."""
        return expected_of(self._refolding, key, self._histories(key), contact, unfinished)

    def _histories(self, key: ContactKey) -> list[list[Stored]]:
        return [self._run.store.events_of(one) for one in self.moved.histories(key)]

    async def resolve_moves(
        self, keys: Sequence[ContactKey], destination: Destination, slot: WaitForSlot
    ) -> RetryLater | Halt | None:
        """Resolve the email changes of contacts, which must be held; return why that is not possible now, or None."""
        return await self.moved.resolve(keys, destination, slot)

    def batches(self, after: ContactKey = _FIRST) -> Iterator[tuple[list[ContactKey], ContactKey]]:
        """Yield batches of the contacts after a key, each with the key to record in the journal after the batch.

        Contacts with email changes come last, and again each time the run is continued: there are few.
        """
        while True:
            keys, following = self._next_contacts(after)
            if following is None:
                break
            after = following
            yield keys, after
        for keys in self.moved.batches():
            yield keys, after

    def _next_contacts(self, after: ContactKey) -> tuple[list[ContactKey], ContactKey | None]:
        """Return the next contacts to write or report, and the last key that was checked; None if there are no more.

        Contacts with email changes are not among them.
        """
        wanted, events = list[ContactKey](), 0
        while keys := self._run.store.contacts_after(after, CONTACTS_AT_ONCE):
            for key in keys:
                after = key
                if self.moved.concerns(key):
                    continue
                projection = self.project(key)
                if projection.wanted or projection.unmapped:
                    wanted.append(key)
                    events += len(projection.events)
                if len(wanted) == CONTACTS_AT_ONCE or events >= EVENTS_AT_ONCE:
                    return wanted, after
        return wanted, after if wanted else None


def _as_rows(offsets: Offsets) -> Sequence[tuple[str, int, int]]:
    return [(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def _as_offsets(rows: Sequence[tuple[str, int, int]]) -> Offsets:
    return {(topic, partition): offset for topic, partition, offset in rows}
