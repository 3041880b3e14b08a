"""The run's side of holds: contacts that only the run may write for a limited time, and what the topic says of them.

A hold is entered when it is covered: workers have answered for all partitions of its contacts, or no worker runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from aiokafka.errors import KafkaError

from hubspot_consumer.holds.records import (
    FOR_S,
    HoldAnswered,
    HoldBegun,
    Released,
    RunEnded,
    Written,
    read_hold_record,
)
from hubspot_consumer.kafka.group import Group, Member
from runtime.clock import Clock, set_within
from runtime.endings import CannotGoOn
from runtime.logs import log
from schemas.contacts import ContactKey

# A hold with less time left is not entered: a call to HubSpot may take 35 s (`CALL_WITHIN_S`).
TOO_LITTLE_S: Final = 40.0
# Running workers usually answer sooner, so the members are requested only after this time.
ASK_MEMBERS_AFTER_S: Final = 0.25
ASK_AGAIN_S: Final = 0.5
# Besides this run, only workers that resync a contact are active. The limit keeps the memory bounded.
MOST_RUNS: Final = 1_000
WARN_AFTER_S: Final = 3.0
WARN_AGAIN_S: Final = 10.0

Waits = Callable[[str], object]


class TakenOver(CannotGoOn):
    """Another process continues the same run, so this process has no holds any more."""

    def __init__(self) -> None:
        super().__init__("another process continues this run, so this one must not write any more")


@dataclass(frozen=True)
class OtherRun:
    """A run that announced itself: the time of its last record, and the seconds for which that keeps it active."""

    command: str
    heard_at_s: float
    for_s: float

    def is_active(self, at_s: float) -> bool:
        return at_s < self.heard_at_s + self.for_s


class HoldListener:
    """Processes the topic's records for *run*."""

    def __init__(self, run: str) -> None:
        self._run: Final = run
        self._runs: dict[str, OtherRun] = {}
        self._holds: dict[int, Hold] = {}
        self._announcement: int | None = None
        self._announced = False
        self._active_before: dict[str, OtherRun] = {}
        self.highest_number = 0
        self.taken_over = False
        # The run that began while this one was silent for so long that it counted as ended.
        self.superseded_by: OtherRun | None = None

    @property
    def was_active(self) -> bool:
        """Whether the topic shows an earlier process of the same run that did not end it."""
        return self._run in self._runs

    @property
    def may_write(self) -> bool:
        return not self.taken_over and self.superseded_by is None

    @property
    def other_run(self) -> OtherRun | None:
        """A run that was active when this one announced itself, in the order of the topic; None if there was none."""
        return next(iter(self._active_before.values()), None)

    def announce(self, number: int) -> None:
        """Treat the hold with that number as the announcement of this run."""
        self._announcement = number

    def listen(self, hold: "Hold") -> None:
        """Pass the answers to that hold on to it, until `forget`."""
        self._holds[hold.number] = hold

    def forget(self, hold: "Hold") -> None:
        self._holds.pop(hold.number, None)

    def take_in(self, record: Any) -> bool:
        """Process one of aiokafka's records. Return whether it can be read."""
        match entry := read_hold_record(record.value):
            case HoldBegun():
                self._begin(entry, record.timestamp / 1000)
            case HoldAnswered():
                if entry.run == self._run and (hold := self._holds.get(entry.number)) is not None:
                    hold.answered(entry.partitions)
            case RunEnded():
                self._runs.pop(entry.run, None)
                self._active_before.pop(entry.run, None)
                # This process ends the run only before its announcement. A later end comes from its successor.
                self.taken_over |= entry.run == self._run and self._announced
            case Released():
                pass
            case None:
                return False
            case _:
                assert_never(entry)
        return True

    def _begin(self, hold: HoldBegun, at_s: float) -> None:
        heard = OtherRun(hold.command, at_s, hold.for_s)
        if hold.run == self._run:
            self.highest_number = max(self.highest_number, hold.number)
            if hold.number == self._announcement and not self._announced:
                self._announced = True
                self._active_before = {
                    name: run for name, run in self._runs.items() if name != self._run and run.is_active(at_s)
                }
        elif self._announced and (ours := self._runs.get(self._run)) and not ours.is_active(at_s):
            self.superseded_by = heard
        if len(self._runs) >= MOST_RUNS and hold.run not in self._runs:
            del self._runs[next(iter(self._runs))]
        self._runs[hold.run] = heard


class Hold:
    """Contacts that no worker writes until the hold ends, and the outcome of the run's writes.

    `unanswered` are the partitions of its contacts for which no worker has answered yet.
    """

    def __init__(
        self,
        number: int,
        keys: frozenset[ContactKey],
        partitions: Collection[int],
        listener: HoldListener,
        clock: Clock,
    ) -> None:
        self.number: Final = number
        self.keys: Final = keys
        self.unanswered: Final = set(partitions)
        self.covered: Final = asyncio.Event()
        self.outcome: dict[ContactKey, Written] = {}
        self.touched = False
        self._listener = listener
        self._clock = clock
        self._ends_at = clock.monotonic() + FOR_S
        self.answered(())

    def answered(self, partitions: Collection[int]) -> None:
        """Record that a worker complies with the hold for these partitions; `covered` is set when none is left."""
        self.unanswered.difference_update(partitions)
        if not self.unanswered:
            self.covered.set()

    def touch(self) -> None:
        """Record that a call is about to begin: from now on the contacts may have been written."""
        self.touched = True

    def written(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Record that a contact was written as it is after the event *sequence*; workers continue after that."""
        if key not in self.keys:
            raise KeyError("this contact is not held")
        self.outcome[key] = Written(sequence=sequence, contact_id=contact_id)

    @property
    def time_left_s(self) -> float:
        """Seconds for which workers at least still leave these contacts alone; 0 once the run must not write."""
        return max(0.0, self._ends_at - self._clock.monotonic()) if self._listener.may_write else 0.0


class Coverage:
    """Waits for answers, and meanwhile requests the workers' *group*; *waits* is called with the reason of a wait."""

    def __init__(
        self, listener: HoldListener, group: Callable[[], Awaitable[Group]], clock: Clock, waits: Waits
    ) -> None:
        self._listener = listener
        self._group = group
        self._clock = clock
        self._waits = waits
        self._no_workers = False

    async def complete(self, hold: Hold) -> bool:
        """Return True when all workers comply with the hold, False when too little of its time is left.

        Kafka must have acknowledged the hold. Raises TakenOver.
        """
        # A worker that joins later reads all holds before it delivers, so only the present members have to answer.
        wait_s = 0.0 if self._no_workers else ASK_MEMBERS_AFTER_S
        warn_at = self._clock.monotonic() + WARN_AFTER_S
        while not await set_within(hold.covered, wait_s):
            if self._listener.taken_over:
                raise TakenOver
            members = await self._members()
            self._no_workers = members is not None and not members
            if self._no_workers:
                return True
            if hold.time_left_s < TOO_LITTLE_S:
                return False
            if self._clock.monotonic() >= warn_at:
                why = _why(hold.unanswered, members)
                log.warning("holding.waits", partitions=sorted(hold.unanswered), why=why)
                self._waits(why)
                warn_at = self._clock.monotonic() + WARN_AGAIN_S
            wait_s = ASK_AGAIN_S
        return hold.time_left_s >= TOO_LITTLE_S

    async def _members(self) -> Sequence[Member] | None:
        """Return the members of the group, or None where Kafka does not return them."""
        try:
            return (await self._group()).members
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("holding.members_not_known", error=type(error).__name__)
            return None


def _why(missing: Collection[int], members: Sequence[Member] | None) -> str:
    if members is None:
        return f"Kafka does not say which workers have the partitions {_listed(missing)}"
    silent = [member for member in members if not member.numbers.isdisjoint(missing)]
    if not silent:
        return f"the workers' group rebalances: no worker has the partitions {_listed(missing)}"
    who = "; ".join(f"{member.name} (partitions {_listed(member.numbers & set(missing))})" for member in silent)
    return f"no answer from {who}: still in a call, stopped, cut off from Kafka, or of a version without holds"


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
