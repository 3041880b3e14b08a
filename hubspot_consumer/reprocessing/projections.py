"""The projections of a run: it reads the topics, follows them, and projects each contact from its events.

If HubSpot refuses a contact with dead letters that are to take effect, each of them is tried alone.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from aiokafka.errors import GroupCoordinatorNotAvailableError

from hubspot_consumer.history.email_changes import EmailChanges
from hubspot_consumer.history.parallel_scan import Reading, read_in_processes
from hubspot_consumer.history.plan import Tally, tallied
from hubspot_consumer.history.projection import Projection, Projector, Selection, is_at_or_after
from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.records import Offsets, Place
from hubspot_consumer.reprocessing.comparison import Expected, expected_of
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from runtime.kafka.topic_reader import Progress
from schemas.contacts import ContactKey
from schemas.envelope import Envelope

# Contacts, or their events, between two journal entries: so many that nearly all calls are full.
CONTACTS_AT_ONCE: Final = 2_000
EVENTS_AT_ONCE: Final = 30_000
TIMES_ASKED: Final = 20
ASK_AGAIN_S: Final = 0.5


@dataclass
class _Trial:
    """Dead letters of one contact: the rejected ones, and the others, of which the first one is tried next."""

    waiting: list[tuple[Stored, Envelope]]
    rejected: set[Place] = field(default_factory=set)


class Trials:
    """The trials of refused contacts. Any other contact has no trial, and all its dead letters are applied."""

    def __init__(self) -> None:
        self._trials: dict[ContactKey, _Trial] = {}

    def without(self, key: ContactKey) -> set[Place]:
        """Return the dead letters that the contact's next projection must not contain."""
        trial = self._trials.get(key, _Trial([]))
        return trial.rejected | {event.place for event, _ in trial.waiting[1:]}

    def passed(self, projection: Projection) -> bool:
        """Record that HubSpot accepted a projection; return whether there is another dead letter to try."""
        trial = self._trials.get(projection.key, _Trial([]))
        del trial.waiting[:1]
        return bool(trial.waiting)

    def failed(self, projection: Projection) -> tuple[tuple[Stored, Envelope] | None, bool]:
        """Record that HubSpot refused a projection; return the event that caused it, if any, and whether to retry."""
        if projection.dead and projection.key not in self._trials:
            self._trials[projection.key] = _Trial(projection.dead.copy())
            if len(projection.dead) > 1:
                return None, True
        trial = self._trials.get(projection.key, _Trial([]))
        if not trial.waiting:
            return None, False
        guilty = trial.waiting.pop(0)
        trial.rejected.add(guilty[0].place)
        return guilty, True


class TopicProjections:
    """Projects the contacts of *selection*; *report* counts the email changes that are made in HubSpot.

    `unfinished` are the offsets that the workers' group had reached when the run began.
    """

    def __init__(self, run: Run, scan: Scan, lag: Lag, selection: Selection, report: Report) -> None:
        self._run = run
        self.scan: Final = scan
        self.lag: Final = lag
        self._selection: Final = selection
        self.unfinished: Offsets = {}
        self.moved: Final = EmailChanges(run.store, report.count_move, selection.contacts)
        self._projector = Projector(selection, {})

    async def read(self, progress: Progress, reading: Reading | None = None) -> None:
        """Read the topics to their ends at the start of the run; in processes, if there is much *reading* to do.

        Raises KafkaError.
        """
        store = self._run.store
        if not (store.fact("ends") and self.scan.go_on()):
            unfinished = await self._unfinished_at_first()
            await self.scan.begin(self._selection.since, unfinished)
            store.keep(unfinished=_as_rows(unfinished), ends=_as_rows(await self.scan.ends()))
        ends = _as_offsets(store.fact("ends"))
        self.unfinished = _as_offsets(store.fact("unfinished"))
        if reading is not None:
            await read_in_processes(reading, store, ends, progress)
            self.scan.go_on()
        await self.scan.read_to(ends, progress)
        await asyncio.to_thread(store.put_in_order)
        self._projector = Projector(replace(self._selection, before=ends), self.unfinished)

    async def _unfinished_at_first(self) -> Offsets:
        # A new broker creates its topic of consumer groups on the first request, so the request is repeated.
        for _ in range(TIMES_ASKED):
            with suppress(GroupCoordinatorNotAvailableError):
                return await self.lag.unfinished()
            await asyncio.sleep(ASK_AGAIN_S)
        return await self.lag.unfinished()

    async def caught_up(self, keys: Collection[ContactKey]) -> None:
        """Return when the store has what the topics hold now, and all before each event of *keys* that was read since.

        An event is on Kafka only after the contact's events before it. But these are in other topics, which may not
        have been read as far: whoever wrote the contact without them would tell the workers that they took effect.
        """
        missing: Mapping[ContactKey, tuple[int, int]] = {}
        await self.scan.caught_up()
        while (found := self._run.store.missing(keys)) and found != missing:
            missing = found
            await self.scan.caught_up()

    async def tally(self) -> Tally:
        """Project all contacts once, and return the counts."""
        return await tallied(self._run.file, self._run.store, self._projector)

    def project(self, key: ContactKey, trials: Trials | None = None) -> Projection:
        """Return the projection of a contact from the events read so far."""
        return self._projector.project(key, *self._histories(key), without=trials.without(key) if trials else ())

    def sequences(self, projection: Projection) -> dict[ContactKey, int]:
        """Return the sequences up to which a contact that was written has the events of its key and its former keys.

        Workers look up no contact of a former key, which HubSpot would not find.
        """
        return dict(zip(self.moved.histories(projection.key), projection.sequences, strict=True))

    def expected(self, key: ContactKey, contact: RemoteContact | None, unfinished: Offsets) -> Expected:
        """Return the expected state of a remote *contact*, from the events read so far."""
        return expected_of(self._projector, key, self._histories(key), contact, unfinished)

    async def unfinished_moves(self, keys: Collection[ContactKey]) -> list[ContactKey]:
        """Return the former keys among *keys* that have events which workers have not finished. Raises KafkaError."""
        former = {previous for previous, key in self._run.store.moves() if previous in keys and key in keys}
        if not former:
            return []
        unfinished = await self.lag.unfinished()
        return [
            key for key in former if any(is_at_or_after(event, unfinished) for event in self._run.store.events_of(key))
        ]

    def any_moved(self, keys: Iterable[ContactKey]) -> bool:
        """Return whether one of *keys* is part of an email change."""
        return any(map(self._run.store.moved, keys))

    def _histories(self, key: ContactKey) -> list[list[Stored]]:
        return [self._run.store.events_of(one) for one in self.moved.histories(key)]

    def batches(self, after: ContactKey) -> Iterator[tuple[list[ContactKey], ContactKey]]:
        """Yield batches of the contacts after a key, each with the key to record in the journal after the batch.

        Contacts with email changes come last, and again each time the run is continued: there are few.
        """
        wanted, events = list[ContactKey](), 0
        while keys := self._run.store.contacts_after(after, CONTACTS_AT_ONCE):
            for key in keys:
                after = key
                if self._run.store.moved(key):
                    continue
                projection = self.project(key)
                if projection.wanted or projection.unmapped:
                    wanted.append(key)
                    events += len(projection.events)
                if len(wanted) == CONTACTS_AT_ONCE or events >= EVENTS_AT_ONCE:
                    yield wanted, after
                    wanted, events = [], 0
        if wanted:
            yield wanted, after
        for keys in self.moved.batches():
            yield keys, after


def _as_rows(offsets: Offsets) -> Sequence[tuple[str, int, int]]:
    return [(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def _as_offsets(rows: Sequence[tuple[str, int, int]]) -> Offsets:
    return {(topic, partition): offset for topic, partition, offset in rows}
