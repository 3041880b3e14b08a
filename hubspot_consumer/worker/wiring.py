"""Wiring: the composition root, which makes all parts of a worker, each complete; none connects before it runs."""

import random
from typing import Final

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.destination import Destination, DryRun
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.receipts import MOST_BYTES_OF_A_BATCH, Receipts, ReceiptsTopic
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.resyncs import Resync, Resyncs
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import LaneWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.holds.records import STALE, TRY_AGAIN_S
from hubspot_consumer.holds.worker import HoldAnswers, WorkerHolds
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.kafka.faust_worker import FaustWorker
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.assignment import Assignment
from hubspot_consumer.worker.consumer import RecordConsumer
from hubspot_consumer.worker.progress import Progress
from runtime.clock import SystemClock
from runtime.health import Health
from runtime.kafka.topic_writer import TopicWriter
from schemas.dead_letters import LARGEST_DEAD_LETTER


class Core:
    """The parts that most other parts need."""

    def __init__(self, settings: Settings, telemetry: Telemetry) -> None:
        topics = settings.topics
        self.settings: Final = settings
        self.telemetry: Final = telemetry
        self.kafka: Final = settings.client_options()
        self.clock: Final = SystemClock()
        self.health: Final = Health()
        self.jitter: Final = random.Random()  # noqa: S311 - spreads retries, needs no security
        self.lag: Final = Lag(self.kafka, settings.group, topics.events)
        self.offsets: Final = Offsets()
        self.alignment: Final = PartitionAlignment(self.offsets, self.lag.ends)
        self.lanes: Final = Lanes(self.clock, self.alignment.earlier_were_read)
        self.lease: Final = Lease(self.clock)
        self.breaker: Final = CircuitBreaker(self.clock, resumed=self.lanes.stop_backing_off)
        self.suppressions: Final = Suppressions(self.kafka, topics.suppressions, self.clock)
        self.unwritable: Final = UnwritableProperties()
        # Receipts have their own producer, so that they never delay dead letters. Duplicates are harmless.
        options = {"max_batch_size": MOST_BYTES_OF_A_BATCH, "enable_idempotence": False}
        writes_receipts = settings.mode == "live" and settings.delivery_receipts
        self.receipts_topic: Final = (
            ReceiptsTopic(TopicWriter(settings, topics.deliveries, **options), self.clock, telemetry)
            if writes_receipts
            else None
        )
        self.receipts: Final = Receipts(self.receipts_topic, self.offsets, self.unwritable, self.clock)
        # It is not idempotent, so that it works on after Kafka has refused a record: see `DeadLetterWriter`.
        self.producer: Final = AIOKafkaProducer(**self.kafka, acks="all", max_request_size=LARGEST_DEAD_LETTER)


class Sink:
    """The parts that deliver events or write them to the dead letters. In a dry run the calls are only logged."""

    def __init__(self, core: Core, destination: Destination, resync: Resync | None) -> None:
        lanes, breaker = core.lanes, core.breaker
        self.resyncs: Final = Resyncs(resync, core.lanes, core.clock, core.telemetry)
        self.dead_letters: Final = DeadLetterWriter(
            core.producer, core.settings.topics.dead_letters, core.clock, core.telemetry
        )
        rejections = Rejections(core.settings.dead_letter_limit, self.dead_letters, breaker, core.clock, core.receipts)
        self.timeline: Final = Timeline(lanes, destination, rejections, core.lease, breaker)
        writer = LaneWriter(
            lanes=lanes,
            destination=destination,
            contacts=ContactWriter(destination, core.unwritable, breaker, core.telemetry.upserted),
            timeline=self.timeline,
            rejections=rejections,
            suppressions=core.suppressions,
            moves=ContactMoves(lanes, destination, core.lag, core.clock),
            lease=core.lease,
            breaker=breaker,
            clock=core.clock,
            telemetry=core.telemetry,
            jitter=core.jitter,
            receipts=core.receipts,
            resyncs=self.resyncs,
        )
        self.delivery: Final = Dispatcher(lanes, destination, writer, breaker, core.lease)


class Live:
    """The parts of a live worker that a dry run does not have."""

    def __init__(self, core: Core, sink: Sink, client: HubSpotClient, limiter: RateLimiter) -> None:
        settings, kafka, clock = core.settings, core.kafka, core.clock
        self.rate_limiter: Final = limiter
        self.portal: Final = Portal(client, settings, core.breaker, clock, core.jitter, core.lease.until_valid)
        self.controls: Final = PauseControl(kafka, settings.topics.controls, clock, core.breaker)
        self.holds: Final = WorkerHolds(core.lanes, sink.delivery, limiter, clock)
        self.hold_answers: Final = HoldAnswers(
            holds=self.holds,
            followed=FollowedTopic(
                kafka, settings.topics.holds, clock, self.holds.take_in, look_again_s=TRY_AGAIN_S, newest=STALE
            ),
            topic=settings.topics.holds,
            producer=core.producer,
            delivery=sink.delivery,
            lease=core.lease,
            clock=clock,
        )


class Source:
    """The parts that read the topics."""

    def __init__(self, core: Core, sink: Sink, live: Live | None) -> None:
        self.reading: Final = RecordConsumer(
            lanes=core.lanes,
            delivery=sink.delivery,
            offsets=core.offsets,
            alignment=core.alignment,
            suppressions=core.suppressions,
            dead_letters=sink.dead_letters,
            clock=core.clock,
            telemetry=core.telemetry,
            receipts=core.receipts,
        )
        self.assignment: Final = Assignment(
            sink.delivery,
            live.rate_limiter if live else None,
            core.lag,
            core.alignment,
            holds=live.hold_answers if live else None,
            receipts=core.receipts_topic,
        )
        positions = Positions(core.clock, core.telemetry.gap)
        self.gaps: Final = Gaps(
            offsets=core.offsets,
            positions=positions,
            lag=core.lag,
            health=core.health,
            waited=self.reading.waited,
        )
        self.worker: Final = FaustWorker(
            core.settings,
            core.settings.group,
            lease=core.lease,
            offsets=core.offsets,
            positions=positions,
            gaps=self.gaps,
            take=self.reading.take,
            revoked=self.assignment.revoked,
            dropped=self.reading.forget,
            assigned=self.assignment.changed,
        )


class Parts:
    """All parts of a worker, live or a dry run by *settings*. `live` is None in a dry run.

    *resync* writes contacts from the topics.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, resync: Resync) -> None:
        core = self.core = Core(settings, telemetry)
        hubspot = hubspot_client(settings, core.clock, telemetry.call) if settings.mode == "live" else None
        self.sink: Final = Sink(core, hubspot[0] if hubspot else DryRun(), resync if hubspot else None)
        self.live: Final = Live(core, self.sink, *hubspot) if hubspot else None
        self.source: Final = Source(core, self.sink, self.live)
        self.progress: Final = Progress(
            assigned=lambda: self.source.worker.assigned,
            lag=core.lag,
            offsets=core.offsets,
            lanes=core.lanes,
            delivery=self.sink.delivery,
            breaker=core.breaker,
            rate_limiter=self.live.rate_limiter if self.live else None,
            health=core.health,
            clock=core.clock,
        )
