"""Writing: contacts are held, projected from the present topics, written, and released.

All events that workers applied before the hold are on the topics by then, so the projection is at least as new as the
remote contact. So no look-up is needed, and no contact gets older values.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar, assert_never

from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.delivery.contact_writer import Again, ContactWriter
from hubspot_consumer.delivery.destination import Destination, Slot, Turn
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.history.projection import Projection
from hubspot_consumer.holds.hold import Hold
from hubspot_consumer.holds.run import RunHolds
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, Upsert
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.reprocessing.projections import TopicProjections, Trials
from hubspot_consumer.reprocessing.report import Report
from schemas.contacts import ContactKey

Answer = TypeVar("Answer")

# Several calls overlap: while one waits for its hold, another waits for its answer.
MOST_CALLS_IN_FLIGHT: Final = 4
# Longest duration of a call. A call that begins with less of the hold left could end when workers write again.
CALL_TAKES_S: Final = 36.0
# With these waits between them, this many attempts take about a minute.
FORMER_KEYS_AGAIN: Final = timedelta(seconds=5)
MOST_WAITS_FOR_FORMER_KEYS: Final = 6


class Writing:
    """Writes contacts until HubSpot has accepted or rejected each; waits out temporary failures."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        projections: TopicProjections,
        destination: Destination,
        contacts: ContactWriter,
        holding: RunHolds,
        breaker: CircuitBreaker,
        retries: Retries,
        suppressed: Callable[[ContactKey], bool],
        report: Report,
    ) -> None:
        self._projections = projections
        self._destination = destination
        self._contacts = contacts
        self._holding = holding
        self._breaker = breaker
        self._retries = retries
        self._suppressed = suppressed
        self._report = report
        self._trials = Trials()
        self._conflicts = Counter[ContactKey]()
        # How often a write waited for the workers, by the former key whose events they had not finished.
        self._waits = Counter[ContactKey]()
        self._one_probe = asyncio.Lock()

    async def write(self, keys: Sequence[ContactKey]) -> list[ContactUpdate]:
        """Write contacts; return the contact updates of those that were written, without timeline entries yet."""
        may_call = asyncio.Semaphore(MOST_CALLS_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(self._write_together(together, may_call))
                for together in calls_of(self._allowed(keys), MOST_UPSERTS)
            ]
        return [update for call in calls for update in call.result()]

    def _allowed(self, keys: Sequence[ContactKey]) -> list[ContactKey]:
        """Return those of *keys* that are not suppressed. People may suppress others while a call waits."""
        allowed = [key for key in keys if not self._suppressed(key)]
        self._report.contacts_suppressed += len(keys) - len(allowed)
        return allowed

    async def _write_together(self, keys: Sequence[ContactKey], may_call: asyncio.Semaphore) -> list[ContactUpdate]:
        written: dict[ContactKey, ContactUpdate] = {}

        async def attempt() -> RetryLater | Halt | None:
            nonlocal keys
            refusal: RetryLater | Halt | None = None
            while keys and refusal is None:
                async with may_call, self._turn() as turn:
                    try:
                        keys, refusal = await self._attempt(keys, turn, written)
                    except (KafkaError, OSError) as error:
                        # All contacts are written again. The workers get no outcome for this hold, and look up the
                        # remote contacts.
                        refusal = RetryLater(f"Kafka does not answer: {type(error).__name__}")
            return refusal

        await self._retries.until_done(attempt)
        self._report.contacts_written += len(written)
        return list(written.values())

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Turn]:
        """Provide a slot when calls may be made; while the circuit breaker is open, one caller at a time may probe."""
        async with AsyncExitStack() as alone:
            await alone.enter_async_context(self._one_probe)
            if (spent := self._destination.spent()) is not None:
                self._breaker.trip(spent)
            if not await self._breaker.until_allowed():
                await alone.aclose()
            # The slot comes before the hold: workers should not have to wait for the run's quota.
            turn = Turn(self._destination, await self._destination.slot())
            try:
                yield turn
            finally:
                turn.give_back()

    async def _attempt(
        self, keys: Sequence[ContactKey], turn: Turn, written: dict[ContactKey, ContactUpdate]
    ) -> tuple[list[ContactKey], RetryLater | Halt | None]:
        """Return the contacts to write again, and the reason if that has to wait."""
        async with self._holding.hold(keys) as hold:
            await self._projections.caught_up(keys)
            if await self._workers_have_former(keys):
                return list(keys), RetryLater("workers have events of a contact's former email", FORMER_KEYS_AGAIN)
            keys = self._allowed(keys)
            hold.touch()
            if (refusal := await self._projections.moved.resolve(keys, self._destination, turn.slot)) is not None:
                self._breaker.record(refusal)
                return list(keys), refusal
            projections = [self._projections.project(key, self._trials) for key in keys]
            for projection in projections:
                self._report.skip(projection)
            wanted = [projection for projection in projections if projection.wanted]
            self._report.contacts_without_events += len(projections) - len(wanted)
            if not wanted:
                return [], None
            attempts = await _to_its_end(self._upsert(wanted, await turn.slot(), hold))
        again = [projection.key for projection, outcome in attempts if self._again(projection, outcome, written)]
        refusals = (outcome for _, outcome in attempts if isinstance(outcome, RetryLater | Halt))
        return again, next(refusals, None)

    async def _workers_have_former(self, keys: Sequence[ContactKey]) -> bool:
        """Return whether to wait for workers to finish the events of former keys.

        A worker that reads such an event again, once the contact has its new email, creates a contact for it.
        """
        unfinished = await self._projections.unfinished_moves(keys)
        self._waits.update(unfinished)
        return any(self._waits[key] <= MOST_WAITS_FOR_FORMER_KEYS for key in unfinished)

    async def _upsert(
        self, projections: Sequence[Projection], slot: Slot, hold: Hold
    ) -> list[tuple[Projection, Outcome | Again]]:
        """Write contacts, and record in the hold the sequences from which workers continue."""
        by_trace_id = {str(position): projection for position, projection in enumerate(projections)}
        inputs = [
            Upsert(trace_id, projection.key, projection.properties, attempts=self._conflicts[projection.key])
            for trace_id, projection in by_trace_id.items()
        ]

        def guard(upsert: Upsert) -> RetryLater | None:
            if self._suppressed(upsert.contact_key):
                return RetryLater("the contact was suppressed while the call waited")
            return RetryLater("the hold would end before the call") if hold.time_left_s < CALL_TAKES_S else None

        attempts = []
        async for upsert, outcome in self._contacts.upsert(inputs, slot, guard):
            projection = by_trace_id[upsert.trace_id]
            if isinstance(outcome, Delivered):
                for key, sequence in self._projections.sequences(projection).items():
                    if key in hold.keys:
                        hold.written(key, sequence, outcome.contact_id)
            attempts.append((projection, outcome))
        return attempts

    def _again(
        self, projection: Projection, outcome: Outcome | Again, written: dict[ContactKey, ContactUpdate]
    ) -> bool:
        """Process a contact's outcome; return whether the contact is to be written again."""
        match outcome:
            case Delivered():
                written[projection.key] = projection.update(outcome.contact_id)
                self._report.redriven |= {str(envelope.id) for _, envelope in projection.dead}
                return self._trials.passed(projection)
            case Again():
                self._conflicts[projection.key] += outcome.conflict
                return True
            case RetryLater() | Halt():
                return True
            case Rejected():
                guilty, again = self._trials.failed(projection)
                if guilty is not None or not again:
                    self._report.refuse(projection.key, outcome, guilty[1] if guilty is not None else None)
                return again
            case _:
                assert_never(outcome)


async def _to_its_end(call: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the result of *call*. A cancellation waits for the call to end: workers may write only after that."""
    task = asyncio.create_task(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
