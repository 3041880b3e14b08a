"""A hold on the run's side: contacts that only the run may write for a limited time.

It is entered when it is covered: workers have answered for all partitions of its contacts, or no worker runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from hubspot_consumer.holds.listener import Answers, HoldListener, TakenOver
from hubspot_consumer.holds.records import FOR_S, Written
from hubspot_consumer.kafka.group import Group, Member
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import ContactKey

log = logger()

# A hold with less time left is not entered: a call to HubSpot may take 36 s.
TOO_LITTLE_S: Final = 40.0
# Running workers usually answer sooner, so the members are requested only after this time.
ASK_MEMBERS_AFTER_S: Final = 0.25
ASK_AGAIN_S: Final = 0.5
WARN_AFTER_S: Final = 3.0
WARN_AGAIN_S: Final = 10.0

Waits = Callable[[str], object]


class Hold:
    """Contacts that no worker writes until the hold ends, and the outcome of the run's writes."""

    def __init__(self, number: int, keys: frozenset[ContactKey], listener: HoldListener, clock: Clock) -> None:
        self.number: Final = number
        self.keys: Final = keys
        self.outcome: dict[ContactKey, Written] = {}
        self.touched = False
        self._listener = listener
        self._clock = clock
        self._ends_at = clock.monotonic() + FOR_S

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
        """Seconds for which workers at least still leave these contacts alone; 0 after a takeover."""
        return 0.0 if self._listener.taken_over else max(0.0, self._ends_at - self._clock.monotonic())


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

    async def complete(self, hold: Hold, answers: Answers) -> bool:
        """Return True when all workers comply with the hold, False when too little of its time is left.

        Kafka must have acknowledged the hold. Raises TakenOver.
        """
        # A worker that joins later reads all holds before it delivers, so only the present members have to answer.
        wait_s = 0.0 if self._no_workers else ASK_MEMBERS_AFTER_S
        warn_at = self._clock.monotonic() + WARN_AFTER_S
        while not await _within(wait_s, answers):
            if self._listener.taken_over:
                raise TakenOver
            members = await self._members()
            self._no_workers = members is not None and not members
            if self._no_workers:
                return True
            if hold.time_left_s < TOO_LITTLE_S:
                return False
            if self._clock.monotonic() >= warn_at:
                why = _why(answers.missing, members)
                log.warning("holding.waits", partitions=sorted(answers.missing), why=why)
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


async def _within(seconds: float, answers: Answers) -> bool:
    if not answers.complete.is_set() and seconds:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await answers.complete.wait()
    return answers.complete.is_set()
