"""Writing: contacts are held, folded as the topics are then, written, and released.

What a worker applied before it let a contact go is on the topics by then, so the fold is at least as new as the
contact: it needs no look-up, and moves none backwards.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, assert_never

from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.delivery.contact_writer import Again, ContactWriter
from hubspot_consumer.delivery.destination import Destination, Slot
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.history.projection import Projection
from hubspot_consumer.holds.hold import Hold
from hubspot_consumer.holds.run import RunHolds
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, Upsert
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.reprocessing.report import Refused, Report
from hubspot_consumer.reprocessing.trials import Trials
from schemas.contacts import ContactKey

Answer = TypeVar("Answer")

# Several at once: while one waits for the workers to let go, another is answered.
MOST_CALLS_IN_FLIGHT: Final = 4
# A call takes so long at the very most; one that begins later could end when the workers go on.
CALL_TAKES_S: Final = 36.0


class Projections(Protocol):
    """Where the folds come from."""

    async def caught_up(self) -> None:
        """Return when all that is on the topics now is known."""

    async def resolve_moves(self, keys: Sequence[ContactKey], destination: Destination) -> RetryLater | Halt | None:
        """Return when it is known which of the contacts, which are held, were moved; or why that can't be known yet."""

    def project(self, key: ContactKey, trials: Trials) -> Projection:
        """Return a contact's refold, by what is known now."""


@dataclass
class _Turn:
    """A slot, which is given back unless it is taken for a call."""

    slot: Slot
    taken: bool = False

    def take(self) -> Slot:
        self.taken = True
        return self.slot


class Writing:
    """Writes contacts until HubSpot has taken or refused each; waits out whatever passes."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        projections: Projections,
        destination: Destination,
        contacts: ContactWriter,
        holding: RunHolds,
        breaker: CircuitBreaker,
        retries: Retries,
        suppressed: Callable[[ContactKey], bool],
        report: Report,
    ) -> None:
        self._refolds = projections
        self._destination = destination
        self._contacts = contacts
        self._holding = holding
        self._breaker = breaker
        self._retries = retries
        self._suppressed = suppressed
        self._report = report
        self._trials = Trials()
        self._conflicts = Counter[ContactKey]()
        self._one_probe = asyncio.Lock()

    async def write(self, keys: Sequence[ContactKey]) -> list[ContactUpdate]:
        """Write contacts; return what is left of those that were written: timeline entries."""
        allowed = [key for key in keys if not self._suppressed(key)]
        self._report.contacts_suppressed += len(keys) - len(allowed)
        may_call = asyncio.Semaphore(MOST_CALLS_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(self._write_together(together, may_call))
                for together in calls_of(allowed, MOST_UPSERTS)
            ]
        return [update for call in calls for update in call.result()]

    async def _write_together(self, keys: Sequence[ContactKey], may_call: asyncio.Semaphore) -> list[ContactUpdate]:
        written: dict[ContactKey, ContactUpdate] = {}

        async def attempt() -> RetryLater | Halt | None:
            nonlocal keys
            refusal = None
            while keys and refusal is None:
                async with may_call, self._turn() as turn:
                    keys, refusal = await self._attempt_whatever_kafka_does(keys, turn, written)
            return refusal

        await self._retries.until_done(attempt)
        self._report.contacts_written += len(written)
        return list(written.values())

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[_Turn]:
        """Give a slot when calls may be made; while sending is halted, to one caller at a time."""
        async with AsyncExitStack() as alone:
            await alone.enter_async_context(self._one_probe)
            if (spent := self._destination.spent()) is not None:
                self._breaker.trip(spent)
            if not await self._breaker.until_allowed():
                await alone.aclose()
            # Before the hold: the workers should not have to wait for our quota.
            turn = _Turn(await self._destination.slot())
            try:
                yield turn
            finally:
                if not turn.taken:
                    turn.slot.give_back()

    async def _attempt_whatever_kafka_does(
        self, keys: Sequence[ContactKey], turn: _Turn, written: dict[ContactKey, ContactUpdate]
    ) -> tuple[list[ContactKey], RetryLater | Halt | None]:
        try:
            return await self._attempt(keys, turn, written)
        except (KafkaError, OSError) as error:
            # What was written is written again; the workers are told nothing, and look up what HubSpot holds.
            return list(keys), RetryLater(f"Kafka does not answer: {type(error).__name__}")

    async def _attempt(
        self, keys: Sequence[ContactKey], turn: _Turn, written: dict[ContactKey, ContactUpdate]
    ) -> tuple[list[ContactKey], RetryLater | Halt | None]:
        """Return whom to write again, and why if it is not at once."""
        async with self._holding.hold(keys) as hold:
            hold.touch()
            await self._refolds.caught_up()
            if (refusal := await self._refolds.resolve_moves(keys, self._destination)) is not None:
                self._breaker.record(refusal)
                return list(keys), refusal
            projections = [self._refolds.project(key, self._trials) for key in keys]
            for projection in projections:
                self._report.skip(projection)
            wanted = [projection for projection in projections if projection.wanted]
            self._report.contacts_without_events += len(projections) - len(wanted)
            attempts = await _to_its_end(self._upsert(wanted, turn.take(), hold))
        again = [projection.key for projection, outcome in attempts if self._again(projection, outcome, written)]
        refusals = (outcome for _, outcome in attempts if isinstance(outcome, RetryLater | Halt))
        return again, next(refusals, None)

    async def _upsert(
        self, projections: Sequence[Projection], slot: Slot, hold: Hold
    ) -> list[tuple[Projection, Outcome | Again]]:
        """Write contacts, and note for the workers what they go on from."""
        asked = {str(position): projection for position, projection in enumerate(projections)}
        inputs = [
            Upsert(trace_id, projection.key, projection.properties, attempts=self._conflicts[projection.key])
            for trace_id, projection in asked.items()
        ]

        def guard(_upsert: Upsert) -> RetryLater | None:
            return RetryLater("the hold would end before the call") if hold.time_left_s < CALL_TAKES_S else None

        attempts = []
        async for upsert, outcome in self._contacts.upsert(inputs, slot, guard):
            projection = asked[upsert.trace_id]
            if isinstance(outcome, Delivered):
                hold.written(projection.key, projection.sequence, outcome.contact_id)
            attempts.append((projection, outcome))
        return attempts

    def _again(
        self, projection: Projection, outcome: Outcome | Again, written: dict[ContactKey, ContactUpdate]
    ) -> bool:
        """Take a contact's outcome; return whether it is to be written again."""
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
                return self._rejected(projection, outcome)
            case _:
                assert_never(outcome)

    def _rejected(self, projection: Projection, rejection: Rejected) -> bool:
        guilty, again = self._trials.failed(projection)
        if guilty is not None:
            _, envelope = guilty
            self._report.refuse(
                Refused(projection.key, rejection.detail, rejection.reason, str(envelope.id), envelope.type)
            )
        elif not again:
            self._report.refuse(Refused(projection.key, rejection.detail, rejection.reason))
        return again


async def _to_its_end(call: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what *call* returns; who is cancelled meanwhile waits for its end: only then may the workers go on."""
    task = asyncio.create_task(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
