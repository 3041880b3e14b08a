"""Wiring: the one place where the objects of a worker are made."""

import random
from functools import partial

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.writer import DeadLetters
from hubspot_consumer.delivery.destination import DryRun
from hubspot_consumer.delivery.dispatcher import Delivery
from hubspot_consumer.delivery.email_changes import Moves
from hubspot_consumer.delivery.portal import Portal
from hubspot_consumer.delivery.receipts import NO_RECEIPTS, ReceiptsOnKafka
from hubspot_consumer.delivery.receipts_topic import MOST_BYTES_OF_A_BATCH, ReceiptsTopic
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import Calls
from hubspot_consumer.gates.circuit_breaker import HaltGate
from hubspot_consumer.gates.pause import Controls
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import Omissions
from hubspot_consumer.holds.answers import HoldAnswers
from hubspot_consumer.holds.worker import LOOK_AGAIN_S, STALE, Holds
from hubspot_consumer.hubspot_access import hubspot_client
from hubspot_consumer.kafka.faust_worker import Worker
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import Alignment
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.assignment import Assignment
from hubspot_consumer.worker.consumer import Reading
from hubspot_consumer.worker.progress import Progress
from hubspot_consumer.worker.service import Service
from hubspot_consumer.worker.status import Status
from runtime.clock import Clock, SystemClock
from runtime.journal import Journal
from runtime.kafka.admission import Admission
from runtime.kafka.topic_writer import TopicWriter
from runtime.logs import logger
from schemas.dead_letters import LARGEST_DEAD_LETTER

log = logger()


def service_of(settings: Settings, status: Status, telemetry: Telemetry) -> Service:
    clock, jitter = SystemClock(), random.Random()  # noqa: S311 - spreads retries, guards nothing
    kafka = settings.client_options()
    topics = settings.topics
    client, pacing = hubspot_client(settings, clock, telemetry.call) if settings.mode == "live" else (None, None)
    producer = AIOKafkaProducer(**kafka, acks="all", enable_idempotence=True, max_request_size=LARGEST_DEAD_LETTER)
    lag = Lag(kafka, settings.group, topics.events)
    offsets = Offsets()
    alignment = Alignment(offsets, lag)
    lanes = Lanes(clock, alignment.siblings_passed)
    halt = HaltGate(clock, resumed=lanes.stop_backing_off)
    dead_letters = DeadLetters(producer, topics.dead_letters, clock, telemetry)
    destination, lease = client or DryRun(), Lease(clock)
    omissions, suppressions = Omissions(), Suppressions(kafka, topics.suppressions, clock)
    receipts_topic = _receipts_topic(settings, clock, telemetry)
    receipts = ReceiptsOnKafka(receipts_topic, offsets, omissions, clock) if receipts_topic else NO_RECEIPTS
    rejections = Rejections(settings.dead_letter_limit, dead_letters, halt, clock, receipts)
    timeline = Timeline(lanes, destination, rejections, lease, halt)
    calls = Calls(
        lanes=lanes,
        destination=destination,
        timeline=timeline,
        rejections=rejections,
        omissions=omissions,
        suppressions=suppressions,
        moves=Moves(lanes, destination, lag, clock),
        lease=lease,
        halt=halt,
        clock=clock,
        telemetry=telemetry,
        jitter=jitter,
        receipts=receipts,
    )
    delivery = Delivery(lanes, destination, calls, halt, lease)
    reading = Reading(
        lanes=lanes,
        delivery=delivery,
        offsets=offsets,
        alignment=alignment,
        suppressions=suppressions,
        dead_letters=dead_letters,
        clock=clock,
        telemetry=telemetry,
        receipts=receipts,
    )
    holds, hold_answers = None, None
    if pacing is not None:
        holds = Holds(lanes, delivery, pacing, clock)
        followed = FollowedTopic(kafka, topics.holds, clock, holds.take_in, look_again_s=LOOK_AGAIN_S, newest=STALE)
        hold_answers = HoldAnswers(
            holds=holds,
            followed=followed,
            topic=topics.holds,
            producer=producer,
            delivery=delivery,
            lease=lease,
            clock=clock,
        )
    assignment = Assignment(delivery, pacing, lag, alignment, holds=hold_answers, receipts=receipts_topic)
    positions = Positions(clock, telemetry.gap)
    gaps = Gaps(
        offsets=offsets,
        positions=positions,
        lag=lag,
        health=status.health,
        waited=reading.waited,
        count=telemetry.gap,
    )
    worker = Worker(
        settings,
        settings.group,
        lease=lease,
        offsets=offsets,
        positions=positions,
        gaps=gaps,
        take=reading.take,
        revoked=assignment.revoked,
        dropped=reading.forget,
        assigned=assignment.changed,
    )
    progress = Progress(
        held=lambda: worker.held,
        lag=lag,
        offsets=offsets,
        lanes=lanes,
        delivery=delivery,
        halt=halt,
        pacing=pacing,
        health=status.health,
        clock=clock,
    )
    portal = None
    if client is not None:
        portal = Portal(
            client,
            portal_id=settings.hubspot_portal_id or 0,
            timeline=settings.hubspot_timeline,
            halt=halt,
            clock=clock,
            jitter=jitter,
        )
    status.halt, status.lanes, status.offsets, status.delivery = halt, lanes, offsets, delivery
    status.dead_letters, status.pacing, status.lag, status.holds = dead_letters, pacing, lag, holds
    status.timeline, status.omissions, status.suppressions = timeline, omissions, suppressions
    status.progress, status.receipts = progress, receipts_topic
    return Service(
        status=status,
        admission=Admission(kafka),
        worker=worker,
        reading=reading,
        assignment=assignment,
        lag=lag,
        alignment=alignment,
        dead_letter_producer=producer,
        portal=portal,
        timeline=timeline,
        omissions=omissions,
        suppressions=suppressions,
        holds=hold_answers,
        controls=Controls(kafka, topics.controls, clock, halt) if client is not None else None,
        receipts=receipts_topic,
        delivery=delivery,
        offsets=offsets,
        progress=progress,
        gaps=gaps,
        journal=worker_journal(status, telemetry, clock),
        clock=clock,
    )


def _receipts_topic(settings: Settings, clock: Clock, telemetry: Telemetry) -> ReceiptsTopic | None:
    if settings.mode != "live" or not settings.delivery_receipts:
        return None
    # Of its own: whatever is the matter with receipts must not hold up dead letters. Repeats are harmless.
    options = {"max_batch_size": MOST_BYTES_OF_A_BATCH, "enable_idempotence": False}
    writer = TopicWriter(settings, settings.topics.deliveries, **options)
    return ReceiptsTopic(writer, clock, telemetry)


def worker_journal(status: Status, telemetry: Telemetry, clock: Clock) -> Journal:
    """Return the journal of a worker."""
    counters = {
        "read": telemetry.read,
        "delivered": telemetry.events_delivered,
        "dead_letters": telemetry.dead_letters,
        "calls": telemetry.calls,
    }
    return Journal(partial(log.info, "worker.progress"), counters, status.in_a_line, clock)
