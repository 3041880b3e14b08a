"""The assignment: this worker's partitions, and the part of the quota that goes with them."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.receipts import ReceiptsTopic
from hubspot_consumer.holds.worker import HoldAnswers
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from runtime.endings import CannotGoOn
from runtime.logs import log

# This is well below the rebalance timeout of 60 s. A call may take 35 s (`CALL_WITHIN_S`), but rarely does.
DRAIN_AT_REBALANCE_S: Final = 25.0
# An event without an ack by then is repeated by the next worker, which costs less than a long wait.
FLUSH_AT_REBALANCE_S: Final = 1.0
# The client sends no heartbeat until the assignment was handled.
COUNT_WITHIN_S: Final = 2.0


class UnequalAssignment(CannotGoOn):
    """The assigned partition numbers differ between topics, so that two workers would write the same contacts."""


class Assignment:
    """Handles every rebalance; `known` is set by the first assignment.

    *rate_limiter* and *holds* are None in a dry run. *receipts* is None if no receipts are written.
    """

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        delivery: Dispatcher,
        rate_limiter: RateLimiter | None,
        lag: Lag,
        alignment: PartitionAlignment,
        *,
        holds: HoldAnswers | None = None,
        receipts: ReceiptsTopic | None = None,
    ) -> None:
        self._delivery = delivery
        self._rate_limiter = rate_limiter
        self._lag = lag
        self._alignment = alignment
        self._holds = holds
        self._receipts = receipts
        self._numbers: Collection[int] = ()
        # The partition numbers that the quota was divided by, and of how many.
        self._divided_by: tuple[Collection[int], int] | None = None
        self.known = asyncio.Event()

    async def revoked(self) -> None:
        """Drain the calls in flight and flush receipts, within time limits, before the partitions are reassigned."""
        if self._holds is not None:
            self._holds.revoked()
        await self._delivery.drain(DRAIN_AT_REBALANCE_S)
        if self._receipts is not None:
            await self._receipts.flush(FLUSH_AT_REBALANCE_S)

    async def changed(self, partitions: Collection[tuple[str, int]]) -> None:
        """Resume delivery for the assigned *partitions*, by topic and number; fail with UnequalAssignment."""
        # An assignment may be the first with partitions that were just added. `_watch_lag` says what is wrong.
        with suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(COUNT_WITHIN_S):
                await self._lag.fault_of_topics()
        self._numbers = {number for _, number in partitions}
        self.divide_quota()
        self.known.set()
        if (unequal := unequal_topics(partitions, self._lag.topics)) is not None:
            self._delivery.fail(UnequalAssignment(unequal))
            return
        self._alignment.assigned(partitions)
        log.info("worker.assigned", partitions=len(partitions), of=len(self._lag.partitions))
        if self._holds is not None:
            self._holds.assigned({number for _, number in partitions})
        else:
            self._delivery.resume()

    def divide_quota(self) -> None:
        """Take the part of the quota that goes with the assigned partitions, among those that the topics have now."""
        divided_by = self._numbers, len(self._lag.partitions) // len(self._lag.topics)
        if self._rate_limiter is not None and divided_by != self._divided_by:
            self._divided_by = divided_by
            # A worker without partitions gets the share of one, because it checks its portal too.
            self._rate_limiter.divide_by(*divided_by)


def unequal_topics(partitions: Collection[tuple[str, int]], topics: Collection[str]) -> str | None:
    """Return a message if the assigned partition numbers differ between *topics*, else None."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for topic, number in partitions:
        numbers[topic].add(number)
    if len({frozenset(numbers[topic]) for topic in topics}) <= 1:
        return None
    listed = "; ".join(f"{topic}: {sorted(numbers[topic])}" for topic in topics)
    return f"the partitions held differ from topic to topic, which breaks the order of contacts: {listed}"
