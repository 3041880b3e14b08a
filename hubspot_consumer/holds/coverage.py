"""Coverage: a hold is entered when workers have answered for all partitions of its contacts, or when no worker runs."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from hubspot_consumer.holds.hold import Hold
from hubspot_consumer.holds.listener import Answers, HoldListener, TakenOver
from hubspot_consumer.holds.members import Member, Members
from runtime.clock import Clock
from runtime.logs import logger

log = logger()

# A hold with less time left is not entered: a call to HubSpot may take 36 s.
TOO_LITTLE_S: Final = 40.0
# Running workers usually answer sooner, so the members are requested only after this time.
ASK_WHO_IS_THERE_S: Final = 0.25
ASK_AGAIN_S: Final = 0.5
TELL_AFTER_S: Final = 3.0
TELL_AGAIN_S: Final = 10.0

Waits = Callable[[str], object]


class Coverage:
    """Waits for answers, and checks the group's members meanwhile; *waits* is called with the reason of a wait."""

    def __init__(self, heard: HoldListener, members: Members, clock: Clock, waits: Waits) -> None:
        self._heard = heard
        self._members = members
        self._clock = clock
        self._waits = waits
        self._nobody_there = False

    async def complete(self, hold: Hold, answers: Answers) -> bool:
        """Return True when all workers comply with the hold, False when too little of its time is left.

        Kafka must have acknowledged the hold. Raises TakenOver.
        """
        # A worker that joins later reads all holds before it delivers, so only the present members have to answer.
        wait_s = 0.0 if self._nobody_there else ASK_WHO_IS_THERE_S
        tell_at = self._clock.monotonic() + TELL_AFTER_S
        while not await _within(wait_s, answers):
            if self._heard.taken_over:
                raise TakenOver
            members = await self._who_is_there()
            self._nobody_there = members is not None and not members
            if self._nobody_there:
                return True
            if hold.time_left_s < TOO_LITTLE_S:
                return False
            if self._clock.monotonic() >= tell_at:
                self._tell(answers.missing, members)
                tell_at = self._clock.monotonic() + TELL_AGAIN_S
            wait_s = ASK_AGAIN_S
        return hold.time_left_s >= TOO_LITTLE_S

    async def _who_is_there(self) -> Sequence[Member] | None:
        """Return the members of the group, or None where Kafka does not return them."""
        try:
            return await self._members.now()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("holding.members_not_known", error=type(error).__name__)
            return None

    def _tell(self, missing: Collection[int], members: Sequence[Member] | None) -> None:
        log.warning("holding.waits", partitions=sorted(missing), why=(why := _why(missing, members)))
        self._waits(why)


def _why(missing: Collection[int], members: Sequence[Member] | None) -> str:
    numbers = ", ".join(map(str, sorted(missing)))
    if members is None:
        return f"Kafka does not say which workers have the partitions {numbers}"
    silent = [member for member in members if not member.numbers.isdisjoint(missing)]
    if not silent:
        return f"the workers' group rebalances: no worker has the partitions {numbers}"
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
