"""The parts of a worker, grouped. `wiring` makes them; the status and the service use them."""

from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.holds.worker import HoldAnswers, WorkerHolds
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.faust_worker import FaustWorker
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.assignment import Assignment
from hubspot_consumer.worker.consumer import RecordConsumer
from hubspot_consumer.worker.progress import Progress


@dataclass(frozen=True)
class Gates:
    """The gates that may stop a call."""

    breaker: CircuitBreaker
    suppressions: Suppressions
    unwritable: UnwritableProperties


@dataclass(frozen=True)
class Source:
    """The parts that read the topics."""

    lag: Lag
    offsets: Offsets
    alignment: PartitionAlignment
    gaps: Gaps
    worker: FaustWorker
    reading: RecordConsumer
    assignment: Assignment


@dataclass(frozen=True)
class Sink:
    """The parts that deliver events or write them to the dead letters. In a dry run the calls are only logged."""

    lanes: Lanes
    delivery: Dispatcher
    timeline: Timeline
    dead_letters: DeadLetterWriter
    producer: AIOKafkaProducer


@dataclass(frozen=True)
class Live:
    """The parts of a live worker that a dry run does not have. *receipts* is None if they are turned off."""

    rate_limiter: RateLimiter
    portal: Portal
    controls: PauseControl
    holds: WorkerHolds
    hold_answers: HoldAnswers
    receipts: ReceiptsTopic | None


@dataclass(frozen=True)
class Parts:
    """All parts of a worker. *live* is None in a dry run."""

    source: Source
    gates: Gates
    sink: Sink
    progress: Progress
    live: Live | None
