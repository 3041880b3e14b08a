"""Wiring: the composition root, which makes all objects of a worker, each complete."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.destination import Destination, DryRun
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.receipts import NO_RECEIPTS, Receipts, ReceiptsOnKafka
from hubspot_consumer.delivery.receipts_topic import MOST_BYTES_OF_A_BATCH, ReceiptsTopic
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import Calls
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PauseControl
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.holds.answers import HoldAnswers
from hubspot_consumer.holds.worker import LOOK_AGAIN_S, STALE, WorkerHolds
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
from hubspot_consumer.worker.parts import Gates, Live, Parts, Sink, Source
from hubspot_consumer.worker.progress import Progress
from hubspot_consumer.worker.service import Service
from hubspot_consumer.worker.status import Status
from runtime.clock import Clock, SystemClock
from runtime.health import Health
from runtime.journal import Journal, keep_journal
from runtime.kafka.admission import Admission
from runtime.kafka.topic_writer import TopicWriter
from runtime.logs import logger
from schemas.dead_letters import LARGEST_DEAD_LETTER

log = logger()


@dataclass(frozen=True)
class _Base:
    """The objects that most parts need."""

    settings: Settings
    telemetry: Telemetry
    kafka: dict[str, Any]
    clock: Clock
    health: Health
    jitter: random.Random
    lag: Lag
    offsets: Offsets
    alignment: PartitionAlignment
    lanes: Lanes
    lease: Lease
    gates: Gates
    producer: AIOKafkaProducer


def wire(settings: Settings, telemetry: Telemetry) -> Service:
    """Return a worker, live or a dry run by *settings*. It connects to nothing before it runs."""
    base = _base(settings, telemetry)
    client, limiter = hubspot_client(settings, base.clock, telemetry.call) if settings.mode == "live" else (None, None)
    receipts_topic = _receipts_topic(base) if client is not None and settings.delivery_receipts else None
    receipts = _receipts(base, receipts_topic)
    sink = _sink(base, client or DryRun(), receipts)
    live = _live(base, sink, client, limiter, receipts_topic) if client is not None and limiter is not None else None
    source = _source(base, sink, receipts, live)
    progress = Progress(
        held=lambda: source.worker.assigned,
        lag=base.lag,
        offsets=base.offsets,
        lanes=base.lanes,
        delivery=sink.delivery,
        breaker=base.gates.breaker,
        rate_limiter=limiter,
        health=base.health,
        clock=base.clock,
    )
    parts = Parts(source, base.gates, sink, progress, live)
    status = Status(settings.mode, base.health, settings.in_force(), parts)
    return Service(status, parts, Admission(base.kafka), worker_journal(status, telemetry, base.clock), base.clock)


def _base(settings: Settings, telemetry: Telemetry) -> _Base:
    kafka, topics, clock = settings.client_options(), settings.topics, SystemClock()
    lag, offsets = Lag(kafka, settings.group, topics.events), Offsets()
    alignment = PartitionAlignment(offsets, lag)
    lanes = Lanes(clock, alignment.earlier_were_read)
    return _Base(
        settings=settings,
        telemetry=telemetry,
        kafka=kafka,
        clock=clock,
        health=Health(),
        jitter=random.Random(),  # noqa: S311 - spreads retries, needs no security
        lag=lag,
        offsets=offsets,
        alignment=alignment,
        lanes=lanes,
        lease=Lease(clock),
        gates=Gates(
            CircuitBreaker(clock, resumed=lanes.stop_backing_off),
            Suppressions(kafka, topics.suppressions, clock),
            UnwritableProperties(),
        ),
        producer=AIOKafkaProducer(**kafka, acks="all", enable_idempotence=True, max_request_size=LARGEST_DEAD_LETTER),
    )


def _receipts_topic(base: _Base) -> ReceiptsTopic:
    # Receipts have their own producer, so that they never delay dead letters. Duplicates are harmless.
    options = {"max_batch_size": MOST_BYTES_OF_A_BATCH, "enable_idempotence": False}
    writer = TopicWriter(base.settings, base.settings.topics.deliveries, **options)
    return ReceiptsTopic(writer, base.clock, base.telemetry)


def _receipts(base: _Base, topic: ReceiptsTopic | None) -> Receipts:
    return ReceiptsOnKafka(topic, base.offsets, base.gates.unwritable, base.clock) if topic else NO_RECEIPTS


def _sink(base: _Base, destination: Destination, receipts: Receipts) -> Sink:
    gates, lanes = base.gates, base.lanes
    dead_letters = DeadLetterWriter(base.producer, base.settings.topics.dead_letters, base.clock, base.telemetry)
    rejections = Rejections(base.settings.dead_letter_limit, dead_letters, gates.breaker, base.clock, receipts)
    timeline = Timeline(lanes, destination, rejections, base.lease, gates.breaker)
    calls = Calls(
        lanes=lanes,
        destination=destination,
        contacts=ContactWriter(destination, gates.unwritable, gates.breaker, base.telemetry.upserted),
        timeline=timeline,
        rejections=rejections,
        suppressions=gates.suppressions,
        moves=ContactMoves(lanes, destination, base.lag, base.clock),
        lease=base.lease,
        breaker=gates.breaker,
        clock=base.clock,
        telemetry=base.telemetry,
        jitter=base.jitter,
        receipts=receipts,
    )
    delivery = Dispatcher(lanes, destination, calls, gates.breaker, base.lease)
    return Sink(lanes, delivery, timeline, dead_letters, base.producer)


def _live(base: _Base, sink: Sink, client: HubSpotClient, limiter: RateLimiter, receipts: ReceiptsTopic | None) -> Live:
    settings, kafka, clock = base.settings, base.kafka, base.clock
    holds = WorkerHolds(base.lanes, sink.delivery, limiter, clock)
    return Live(
        rate_limiter=limiter,
        portal=Portal(
            client,
            portal_id=settings.hubspot_portal_id or 0,
            timeline=settings.hubspot_timeline,
            breaker=base.gates.breaker,
            clock=clock,
            jitter=base.jitter,
        ),
        controls=PauseControl(kafka, settings.topics.controls, clock, base.gates.breaker),
        holds=holds,
        hold_answers=HoldAnswers(
            holds=holds,
            followed=FollowedTopic(
                kafka, settings.topics.holds, clock, holds.take_in, look_again_s=LOOK_AGAIN_S, newest=STALE
            ),
            topic=settings.topics.holds,
            producer=base.producer,
            delivery=sink.delivery,
            lease=base.lease,
            clock=clock,
        ),
        receipts=receipts,
    )


def _source(base: _Base, sink: Sink, receipts: Receipts, live: Live | None) -> Source:
    reading = RecordConsumer(
        lanes=base.lanes,
        delivery=sink.delivery,
        offsets=base.offsets,
        alignment=base.alignment,
        suppressions=base.gates.suppressions,
        dead_letters=sink.dead_letters,
        clock=base.clock,
        telemetry=base.telemetry,
        receipts=receipts,
    )
    assignment = Assignment(
        sink.delivery,
        live.rate_limiter if live else None,
        base.lag,
        base.alignment,
        holds=live.hold_answers if live else None,
        receipts=live.receipts if live else None,
    )
    positions = Positions(base.clock, base.telemetry.gap)
    gaps = _gaps(base, positions, reading.waited)
    worker = FaustWorker(
        base.settings,
        base.settings.group,
        lease=base.lease,
        offsets=base.offsets,
        positions=positions,
        gaps=gaps,
        take=reading.take,
        revoked=assignment.revoked,
        dropped=reading.forget,
        assigned=assignment.changed,
    )
    return Source(base.lag, base.offsets, base.alignment, gaps, worker, reading, assignment)


def _gaps(base: _Base, positions: Positions, waited: Callable[[], bool]) -> Gaps:
    return Gaps(
        offsets=base.offsets,
        positions=positions,
        lag=base.lag,
        health=base.health,
        waited=waited,
        count=base.telemetry.gap,
    )


def worker_journal(status: Status, telemetry: Telemetry, clock: Clock) -> Journal:
    """Return the journal, which logs the worker's counters and status once a minute."""
    counters = {
        "read": telemetry.read,
        "delivered": telemetry.events_delivered,
        "dead_letters": telemetry.dead_letters,
        "calls": telemetry.calls,
    }
    return partial(keep_journal, partial(log.info, "worker.progress"), counters, status.in_a_line, clock)
