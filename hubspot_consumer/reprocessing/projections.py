"""The folded topics: what a run has read of them, kept up with what is added, as one refold for each contact."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from aiokafka.errors import GroupCoordinatorNotAvailableError

from hubspot_consumer.delivery.destination import Destination
from hubspot_consumer.history.email_changes import EmailChanges
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

# Contacts, or events of theirs, between two entries in the journal: enough for calls that are nearly all full.
CONTACTS_AT_ONCE: Final = 2_000
EVENTS_AT_ONCE: Final = 30_000
TIMES_ASKED: Final = 20
ASK_AGAIN_S: Final = 0.5
_FIRST: Final = ContactKey("")


class TopicProjections:
    """*selection* is what was asked for, *report* counts the contacts that are moved.

    `unfinished` is where the workers' group had come to when the run began.
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
        """Read to where the topics ended when the run began. Raises KafkaError."""
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
        # A new broker makes its groups' topic when it is first asked for one.
        for _ in range(TIMES_ASKED):
            with suppress(GroupCoordinatorNotAvailableError):
                return await self._lag.unfinished()
            await asyncio.sleep(ASK_AGAIN_S)
        return await self._lag.unfinished()

    async def tally(self) -> Tally:
        """Fold everything once, and count."""
        return await tallied(self._run.file, self._run.store, self._refolding)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Read meanwhile what is added to the topics."""
        following = asyncio.create_task(self._scan.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def caught_up(self) -> None:
        """Return when all that is on the topics now is known; they must be `followed`."""
        await self._scan.caught_up()

    async def unfinished_now(self) -> Offsets:
        """Return where the workers' group has come to by now. Raises KafkaError."""
        return await self._lag.unfinished()

    def project(self, key: ContactKey, trials: Trials | None = None) -> Projection:
        """Return a contact's refold, by what is known now."""
        return self._refolding.project(key, *self._histories(key), without=trials.without(key) if trials else ())

    def expected(self, key: ContactKey, contact: RemoteContact | None, unfinished: Offsets) -> Expected:
        """Return what HubSpot must hold of a contact that it holds as *contact*, by what is known now."""
        return expected_of(self._refolding, key, self._histories(key), contact, unfinished)

    def _histories(self, key: ContactKey) -> list[list[Stored]]:
        return [self._run.store.events_of(one) for one in self.moved.histories(key)]

    async def resolve_moves(self, keys: Sequence[ContactKey], destination: Destination) -> RetryLater | Halt | None:
        """Find out which of the contacts, which are held, were moved; return why that can't be known yet."""
        return await self.moved.resolve(keys, destination)

    def batches(self, after: ContactKey = _FIRST) -> Iterator[tuple[list[ContactKey], ContactKey]]:
        """Yield the contacts after a key, as many as are written between two entries in the journal, and up to where.

        Those that were moved come last, each time: there are few.
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
        """Return the next contacts to write, or to tell of, and the key up to which these are all; None for no more.

        Those that were moved are not among them.
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
