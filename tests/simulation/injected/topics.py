"""What happens to Kafka's topics: retention, transactions, and what people write."""

import asyncio
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from hubspot_consumer.gates.pause import SENDING
from tests.simulation.checks.writers import suppression
from tests.simulation.faults import Fault
from tests.simulation.kafka.broker import NewRecord

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Topics:
    """Kafka's topics change by other hands than those of workers and relays."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._loop: Final = simulation.loop

    async def retention_deletes(self, _fault: Fault) -> bool:
        """Retention is by time, and so long that every worker has read what it deletes."""
        if "timeline_is_lost" in self._simulation.plan.features:
            # A replay could restore only what Kafka still has.
            return False
        broker, settings = self._simulation.cluster.broker, self._simulation.settings
        acked = self._simulation.cluster.group(settings.group).offsets
        events = broker.events(settings.topics)
        unread = [one.timestamp for at, log in events.items() for one in log if one.offset >= acked.get(at, 0)]
        newest = [log[-1].timestamp for log in events.values() if log]
        until = min(unread, default=max(newest, default=0))
        for partition, log in events.items():
            kept = next((one.offset for one in log if one.timestamp >= until), acked.get(partition, 0))
            needed = self._simulation.source.needed_since.get(partition, kept)
            broker.delete_before(partition, min(kept, needed, acked.get(partition, 0)))
        return True

    async def partitions_are_slow(self, fault: Fault) -> None:
        """Let the partitions of one of three brokers be read later than the others."""
        simulation = self._simulation
        topics, broker = list(simulation.settings.topics.events), simulation.cluster.broker
        slow = {
            one
            for one in broker.logs
            if one.topic in topics and (topics.index(one.topic) + one.partition + fault.target) % 3 == 0
        }
        broker.slow.update(slow)
        await asyncio.sleep(fault.for_s)
        broker.slow.difference_update(slow)

    async def transaction_ends(self, fault: Fault) -> None:
        partitions = list(self._simulation.cluster.broker.logs)
        for number in range(1 + fault.detail % 20):
            self._simulation.cluster.broker.mark(partitions[(fault.target + 7 * number) % len(partitions)])

    async def contact_is_suppressed(self, fault: Fault) -> bool:
        keys = sorted({event.contact_key for event in self._simulation.source.committed()})
        if not keys:
            return False
        key = keys[fault.target % len(keys)]
        self._simulation.suppressed[key] = self._loop.time()
        suppressions, broker = (
            TopicPartition(self._simulation.settings.topics.suppressions, 0),
            self._simulation.cluster.broker,
        )
        broker.create(suppressions.topic, 1)
        at_ms = int(self._simulation.source.database.now().timestamp() * 1000)
        broker.append(suppressions, [NewRecord(at_ms, suppression(key), b"{}", ())])
        return True

    async def sending_is_paused(self, fault: Fault) -> None:
        controls = TopicPartition(self._simulation.settings.topics.controls, 0)
        broker = self._simulation.cluster.broker
        broker.create(controls.topic, 1)
        at = self._simulation.source.database.now()
        paused = b'{"paused": true, "at": "%s", "by": "", "note": ""}' % at.isoformat().encode()
        broker.append(controls, [NewRecord(int(at.timestamp() * 1000), SENDING, paused, ())])
        await asyncio.sleep(min(fault.for_s, 10.0))
        broker.append(controls, [NewRecord(int(at.timestamp() * 1000), SENDING, None, ())])
