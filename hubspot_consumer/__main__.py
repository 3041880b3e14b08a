"""`python -m hubspot_consumer`: the commands, and the one place where the consumer's objects are wired."""

import random
from functools import partial
from typing import Annotated

import typer
from aiokafka import AIOKafkaProducer

from hubspot_consumer.alignment import Alignment
from hubspot_consumer.assignment import Assignment
from hubspot_consumer.calls import Calls
from hubspot_consumer.commands.pause import pause, resume
from hubspot_consumer.commands.provision import provision
from hubspot_consumer.composition import hubspot_client, worker_journal
from hubspot_consumer.controls import Controls
from hubspot_consumer.dead_letters import DeadLetters
from hubspot_consumer.delivery import Delivery
from hubspot_consumer.destination import DryRun
from hubspot_consumer.doctor.command import doctor
from hubspot_consumer.ending import run_service
from hubspot_consumer.endpoints import endpoints
from hubspot_consumer.followed_topic import FollowedTopic
from hubspot_consumer.gaps import Gaps
from hubspot_consumer.halt import HaltGate
from hubspot_consumer.hold_answers import HoldAnswers
from hubspot_consumer.holds import LOOK_AGAIN_S, STALE, Holds
from hubspot_consumer.lag import Lag
from hubspot_consumer.lanes import Lanes
from hubspot_consumer.lease import Lease
from hubspot_consumer.moves import Moves
from hubspot_consumer.new_topic import create_topic
from hubspot_consumer.offsets import Offsets
from hubspot_consumer.omissions import Omissions
from hubspot_consumer.portal import Portal
from hubspot_consumer.positions import Positions
from hubspot_consumer.progress import Progress
from hubspot_consumer.reading import Reading
from hubspot_consumer.receipts import NO_RECEIPTS, ReceiptsOnKafka
from hubspot_consumer.receipts_topic import CONFIG, MOST_BYTES_OF_A_BATCH, ReceiptsTopic
from hubspot_consumer.rejections import Rejections
from hubspot_consumer.reprocessing.commands.audit import audit
from hubspot_consumer.reprocessing.commands.dead_letters import dead_letters
from hubspot_consumer.reprocessing.commands.redrive import redrive
from hubspot_consumer.reprocessing.commands.replay import replay
from hubspot_consumer.reprocessing.commands.resync import resync
from hubspot_consumer.service import Service
from hubspot_consumer.settings import Settings
from hubspot_consumer.status import Status
from hubspot_consumer.suppressions import Suppressions, hash_of, set_suppressed
from hubspot_consumer.telemetry import Telemetry
from hubspot_consumer.timeline import Timeline
from hubspot_consumer.worker import Worker
from runtime import logs
from runtime.admission import Admission
from runtime.clock import Clock, SystemClock
from runtime.commands import EXIT_WITHIN_S, read_settings, refuse, stop_signal
from runtime.health import Health
from runtime.kafka_topics import never_create_topics
from runtime.logs import logger
from runtime.server import serving
from schemas.contacts import contact_key, masked
from schemas.dead_letters import LARGEST_DEAD_LETTER

log = logger()

commands = typer.Typer(
    help="Brings lifecycle events from Kafka to HubSpot. Settings come from the environment: see the README.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def worker() -> None:
    """Read the seven topics and deliver to HubSpot.

    HUBSPOT_ENABLED=false: up and healthy, reads nothing. HUBSPOT_SEND_LIVE=false: a dry run that logs what it would
    write, calls nothing, and skips nothing for the live run later. SIGTERM: delivers what it has read, exits 0.
    """
    settings = read_settings(Settings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    run_service(_work(settings))


def suppress(
    email: Annotated[str, typer.Argument(help="Whose contact must never be written again.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the email off the list.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Never write a contact again: for whoever asked to be forgotten, before you delete the contact in HubSpot.

    HubSpot does not keep an API call from creating a deleted contact anew. The list is a topic of hashes, which all
    workers follow: events of that contact are acknowledged and counted, and sent nowhere.
    """
    settings = read_settings(Settings)
    if not settings.kafka_bootstrap_servers:
        refuse("KAFKA_BOOTSTRAP_SERVERS is not set: the list is a topic: host:port,host:port")
    try:
        key = contact_key(email)
    except ValueError as error:
        refuse(f"EMAIL: {error}")
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    words = "off the list" if undo else "on the list: its events will not be sent"
    if not dry_run:
        topic, replicas = settings.topics.suppressions, settings.kafka_replication_factor
        run_service(set_suppressed(settings.client_options(), topic, key, suppressed=not undo, replicas=replicas))
    where = f"{masked(key)}, as {hash_of(key)[:12]}… in {settings.topics.suppressions}"
    print(f"{'would be ' if dry_run else ''}{words}: {where}")


async def _work(settings: Settings) -> None:
    stop, telemetry = stop_signal(exit_within_s=EXIT_WITHIN_S), Telemetry()
    status = Status(settings.mode, Health(), settings.in_force())
    log.info("service.starting", mode=settings.mode, group=settings.group, port=settings.consumer_port)
    async with serving(endpoints(status, telemetry), settings.consumer_port, "CONSUMER_PORT"):
        if settings.mode == "disabled":
            await stop.wait()
        else:
            await service_of(settings, status, telemetry).run(stop)


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
    kafka, topic = settings.client_options(), settings.topics.deliveries
    # Of its own: whatever is the matter with receipts must not hold up dead letters. Repeats are harmless.
    producer = AIOKafkaProducer(**kafka, acks="all", max_batch_size=MOST_BYTES_OF_A_BATCH)
    create = partial(create_topic, kafka, topic, settings.kafka_replication_factor, CONFIG)
    return ReceiptsTopic(producer, topic, create, clock, telemetry)


for command in (worker, suppress, doctor, provision, replay, resync, audit, redrive, pause, resume):
    commands.command()(command)
commands.add_typer(dead_letters, name="dead-letters")

if __name__ == "__main__":
    never_create_topics()
    commands(prog_name="python -m hubspot_consumer")
