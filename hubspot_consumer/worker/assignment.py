"""The assignment: which partitions this worker holds, and what part of the quota goes with them."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.holds.answers import HoldAnswers
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from runtime.endings import CannotGoOn
from runtime.logs import logger

log = logger()

# Kafka's rebalance timeout is 60 s; a call takes 35 s at the very most, and hardly ever.
SETTLE_AT_REBALANCE_S: Final = 25.0
# What is acked late is repeated by whoever is next; to wait for long is not worth that.
FLUSH_AT_REBALANCE_S: Final = 1.0


class UnequalAssignment(CannotGoOn):
    """A worker holds other partition numbers of one topic than of another: a contact's events are in two hands."""


class Assignment:
    """Told of every rebalance; `known` from the first on. *pacing* and *holds* are None in a dry run.

    *receipts* is None where none are left.
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
        self.known = asyncio.Event()

    async def revoked(self) -> None:
        """Let the calls in flight end: the partitions are about to go to others."""
        if self._holds is not None:
            self._holds.revoked()
        await self._delivery.drain(SETTLE_AT_REBALANCE_S)
        if self._receipts is not None:
            await self._receipts.flush(FLUSH_AT_REBALANCE_S)

    def changed(self, held: Collection[tuple[str, int]]) -> None:
        """Deliver what comes of the partitions *held*, by topic and number, or end delivery with UnequalAssignment."""
        self.known.set()
        if (unequal := unequal_topics(held, self._lag.topics)) is not None:
            self._delivery.fail(UnequalAssignment(unequal))
            return
        self._alignment.assigned(held)
        if self._rate_limiter is not None:
            # A worker that is left with nothing asks about its portal like any other.
            self._rate_limiter.divide(max(len(held), 1) / self._lag.partition_count)
        log.info("worker.assigned", partitions=len(held), of=self._lag.partition_count)
        if self._holds is not None:
            self._holds.assigned({number for _, number in held})
        else:
            self._delivery.resume()


def unequal_topics(held: Collection[tuple[str, int]], topics: Collection[str]) -> str | None:
    """Return which topics differ in the partition numbers held, or None when all are equal."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for topic, number in held:
        numbers[topic].add(number)
    if len({frozenset(numbers[topic]) for topic in topics}) <= 1:
        return None
    listed = "; ".join(f"{topic}: {sorted(numbers[topic])}" for topic in topics)
    return f"the partitions held differ from topic to topic, which breaks the order of contacts: {listed}"
