"""The parts of a worker, in bundles. `wiring` makes them whole; the status and the service only read them."""

from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.writer import DeadLetters
from hubspot_consumer.delivery.dispatcher import Delivery
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.circuit_breaker import HaltGate
from hubspot_consumer.gates.pause import Controls
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import Omissions
from hubspot_consumer.holds.answers import HoldAnswers
from hubspot_consumer.holds.worker import Holds
from hubspot_consumer.hubspot.rate_limiter import Pacing
from hubspot_consumer.kafka.faust_worker import Worker
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import Alignment
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.assignment import Assignment
from hubspot_consumer.worker.consumer import Reading
from hubspot_consumer.worker.progress import Progress


@dataclass(frozen=True)
class Gates:
    """What may keep a call from going out."""

    breaker: HaltGate
    suppressions: Suppressions
    unwritable: Omissions


@dataclass(frozen=True)
class Source:
    """The topics as this worker reads them."""

    lag: Lag
    offsets: Offsets
    alignment: Alignment
    gaps: Gaps
    worker: Worker
    reading: Reading
    assignment: Assignment


@dataclass(frozen=True)
class Sink:
    """What becomes of the events: calls to HubSpot, or dead letters. In a dry run the calls are logged."""

    lanes: Lanes
    delivery: Delivery
    timeline: Timeline
    dead_letters: DeadLetters
    producer: AIOKafkaProducer


@dataclass(frozen=True)
class Live:
    """The parts that a dry run lacks, because it asks HubSpot nothing. *receipts* is None where they are turned off."""

    rate_limiter: Pacing
    portal: Portal
    controls: Controls
    holds: Holds
    hold_answers: HoldAnswers
    receipts: ReceiptsTopic | None


@dataclass(frozen=True)
class Parts:
    """A whole worker. *live* is None in a dry run."""

    source: Source
    gates: Gates
    sink: Sink
    progress: Progress
    live: Live | None
