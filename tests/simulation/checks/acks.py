"""What is acked: each event has taken effect before, and has a receipt."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from schemas.deliveries import Receipt
from schemas.envelope import Headers
from tests.simulation.kafka.broker import StoredRecord

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

# Without these, Kafka answers in time, so that no receipt is given up.
_KAFKA_FAULTS: Final = ("kafka_", "cut_from_kafka", "slow_to_kafka")


class Acks:
    """Looks at each commit of the workers' group."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._receipts_read = 0
        self._receipts: Final[set[tuple[str, int, int]]] = set()
        self._events_with_receipt: Final[set[str | None]] = set()
        self._acked: Final[Counter[TopicPartition]] = Counter()
        kinds = " ".join(fault.kind for fault in simulation.plan.faults)
        self._no_receipt_given_up: Final = not any(name in kinds for name in _KAFKA_FAULTS)
        simulation.cluster.group(simulation.settings.group).committed = self._committed

    def _committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._read_receipts()
        broker = self._simulation.cluster.broker
        for partition, offset in offsets.items():
            for record in broker.logs[partition].between(self._acked[partition], offset):
                self._check(record)
            self._acked[partition] = max(offset, self._acked[partition])

    def _check(self, record: StoredRecord) -> None:
        simulation = self._simulation
        place = f"{record.topic}-{record.partition}-{record.offset}"
        event = Headers.decode(record.headers).id
        # A repeat that a relay published has no receipt of its own.
        if self._no_receipt_given_up and record[:3] not in self._receipts and event not in self._events_with_receipt:
            simulation.violate(f"acked without a receipt: {place}")
        if event in simulation.hubspot.event_ids() or (record.key or b"").decode() in simulation.suppressed:
            return
        if event not in simulation.dead_letters():
            simulation.violate(f"acked before it took effect: {event}, {place}")

    def _read_receipts(self) -> None:
        log = self._simulation.cluster.broker.logs.get(TopicPartition(self._simulation.settings.topics.deliveries, 0))
        if log is None:
            return
        for record in log.records[self._receipts_read :]:
            receipt = Receipt.model_validate_json(record.value or b"")
            self._receipts.add((receipt.topic, receipt.partition, receipt.offset))
            self._events_with_receipt.add(receipt.event_id)
        self._receipts_read = len(log.records)
