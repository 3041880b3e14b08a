"""`python -m producer`: the commands, and the one place where the producer's objects are wired."""

import asyncio
import json
import logging
import random
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Final, Literal, NoReturn

import typer
from aiokafka.errors import KafkaError
from sqlalchemy.exc import DBAPIError

from producer.debezium import Connector, NotForDebezium
from producer.intake.bearer import Bearer
from producer.intake.endpoints import add_intake
from producer.intake.intake import Intake
from producer.migrations import NameTaken, migration_sql
from producer.migrations import migrate as migrate_database
from producer.old_outbox.command import import_outbox
from producer.relay.outbox import Outbox
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.relay.watch import Watch
from producer.settings import DatabaseSettings, DebeziumSettings, KafkaSettings, Settings
from producer.status import add_status
from producer.telemetry import Telemetry
from runtime import logs
from runtime.clock import Clock, SystemClock
from runtime.commands import EXIT_WITHIN_S, exit_for, fail, read_settings, refuse, run_service, stop_signal
from runtime.health import Health
from runtime.journal import Journal, reading
from runtime.kafka import new_topics
from runtime.kafka.admission import KafkaAway, KafkaRefused, ask_admission
from runtime.kafka.topic_settings import differences, verdict
from runtime.kafka.topics import UnequalPartitions, admin_client, never_create_topics
from runtime.logs import logger
from runtime.server import PortTaken, application, serving

log = logger()

# What Kafka did not acknowledge until then stays in the outbox.
FINISH_WITHIN_S: Final = 5.0

commands = typer.Typer(
    help="Brings events from the outbox to Kafka. Settings are environment variables: see docs/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@commands.command()
def migrate(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL for an empty database instead.")] = False,
) -> None:
    """Create or update the outbox's tables and functions in DATABASE_URL. Does nothing if they are up to date."""
    if dry_run:
        print(migration_sql())
        return
    settings = read_settings(DatabaseSettings)
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    try:
        found = migrate_database(settings.database_url.get_secret_value())
    except DBAPIError as error:
        fail(f"DATABASE_URL: {str(error.orig).strip().splitlines()[0]}")
    except NameTaken as error:
        fail(str(error))
    print(*found, "the outbox is up to date", sep="\n")


@commands.command()
def topics(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is missing or differs, and create nothing.")
    ] = False,
) -> None:
    """Create missing topics, those of the consumer and the console too; verify the others.

    New topics get KAFKA_PARTITIONS partitions, or as many as the existing ones, and KAFKA_REPLICATION_FACTOR copies.
    Topics that no event is published to get one partition, and at least as many copies as the event topics.
    Existing topics are never altered. If one has too few partitions or copies, keeps events for less than 30 days, or
    could lose acknowledged events, the exit code is 1, and the Kafka command that changes it is printed.
    """
    settings = read_settings(KafkaSettings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    try:
        asyncio.run(_topics(settings, dry_run=dry_run))
    except Exception as error:
        failed = (KafkaAway, UnequalPartitions, new_topics.TopicsNotReady, new_topics.TooFewBrokers)
        exit_for(error, misconfigured=(KafkaRefused,), failed=failed)
        if isinstance(error, KafkaError | OSError):
            fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers at {settings.kafka_bootstrap_servers} ({error})")
        raise


@commands.command()
def relay() -> None:
    """Publish the outbox to Kafka, until SIGTERM. Several relays may run: one is active, the others stand by."""
    _run(http=False)


@commands.command()
def serve() -> None:
    """Run the relay, and answer /v1/health, /v1/health/live and /metrics on PRODUCER_PORT.

    With PRODUCER_INTAKE_TOKEN, accept events of other services too, at POST /v1/events/{type}; /docs explains it.
    """
    _run(http=True)


commands.command()(import_outbox)


@commands.command()
def debezium_config(  # noqa: PLR0913 - typer reads a command's options from its parameters
    show: Annotated[
        Literal["connector", "setup", "cleanup"],
        typer.Argument(help="The connector as JSON, the SQL to run once before it, or the SQL to run every hour."),
    ] = "connector",
    *,
    name: Annotated[
        str, typer.Option(help="Name of the connector, and part of the name of its heartbeat topic.")
    ] = Connector.name,
    slot: Annotated[
        str, typer.Option(help="Name of the replication slot, which the connector creates.")
    ] = Connector.slot,
    publication: Annotated[
        str, typer.Option(help="Name of the publication, which `setup` creates.")
    ] = Connector.publication,
    schema: Annotated[str, typer.Option(help="Schema of outbox_events.")] = Connector.schema,
    user: Annotated[
        str | None, typer.Option(help="User that Debezium logs in as; the default is DATABASE_URL's user.")
    ] = None,
    password: Annotated[
        str, typer.Option(help="Placeholder of Connect's config providers for the password.")
    ] = Connector.password,
) -> None:
    """Print the Debezium connector that replaces the relay, for Kafka Connect's REST interface.

    The password is never printed. The Connect worker has its own Kafka settings. Read docs/debezium.md first.
    """
    settings = read_settings(DebeziumSettings)
    url = settings.database_url.get_secret_value()
    try:
        connector = Connector(name, slot, publication, schema, user, password)
        match show:
            case "connector":
                partitions, replicas = settings.kafka_partitions, settings.kafka_replication_factor
                config = connector.config(url, settings.topics, partitions, replicas)
                print(json.dumps({"name": name, "config": config}, indent=2))
            case "setup":
                print(connector.setup_sql(url), end="")
            case "cleanup":
                print(connector.cleanup_sql(), end="")
    except NotForDebezium as error:
        refuse(str(error))


def _run(*, http: bool) -> None:
    settings = read_settings(Settings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    run_service(_publish(settings, http=http), misconfigured=(KafkaRefused,), failed=(PortTaken,))


async def _topics(settings: KafkaSettings, *, dry_run: bool) -> None:
    names, replicas = settings.topics, settings.kafka_replication_factor
    await ask_admission(settings.client_options())
    async with admin_client(settings.client_options()) as admin:
        found = await new_topics.find(admin, names, names.all)
        plan = new_topics.plan(found, partitions=settings.kafka_partitions, replication_factor=replicas)
        await new_topics.refuse_too_few_brokers(admin, plan)
        created: Collection[str] = ()
        if plan.create and not dry_run:
            created = await new_topics.create(admin, names, plan)
        # Only now: somebody else may have created a topic meanwhile. What was created here is verified like the rest.
        found_as = await differences(
            admin, names, names.all, partitions=settings.kafka_partitions, replication_factor=replicas
        )
        for name in names.all:
            if name in found_as:
                lines = verdict(name, found_as[name], settings.kafka_bootstrap_servers, created=name in created)
                print(*lines, sep="\n")
            else:
                print(f"missing  {name}")
        now = await new_topics.find(admin, names, names.all)
    print(f"{now.partitions or plan.partitions} partitions each")
    if any(one.is_certain for differing in found_as.values() for one in differing):
        fail("topics that differ were not changed: docs/runbook.md says what to do")


async def _publish(settings: Settings, *, http: bool) -> None:
    stop = stop_signal(exit_within_s=EXIT_WITHIN_S)
    clock, health, telemetry = SystemClock(), Health(), Telemetry()
    connect = partial(Outbox.connect, settings.database_url.get_secret_value(), clock, settings.outbox_retention)
    kafka = settings.client_options()
    sender = Sender(kafka, settings.topics, clock, telemetry)
    relay = Relay(
        connect,
        sender,
        health=health,
        telemetry=telemetry,
        jitter=random.Random(),  # noqa: S311 - spreads retries, guards nothing
    )
    telemetry.shows(health)
    watch = Watch(connect, kafka, settings.topics, clock=clock, health=health, telemetry=telemetry)
    async with AsyncExitStack() as stack:
        if http:
            intake = {"intake": "on"} if settings.intake_tokens else {}
            app = application(
                "Outbox producer",
                unwell=lambda: health.unwell,
                also=lambda: {"relay": "active" if relay.active else "standby"} | intake,
                metrics=telemetry.registry,
            )
            add_status(
                app, relay_active=lambda: relay.active, unwell=lambda: health.unwell, settings=settings.in_force()
            )
            if settings.intake_tokens:
                taking = await stack.enter_async_context(Intake(settings.database_url.get_secret_value()))
                add_intake(app, taking, Bearer(settings.intake_tokens), telemetry)
            await stack.enter_async_context(serving(app, settings.producer_port, "PRODUCER_PORT"))
        log.info("service.starting", port=settings.producer_port if http else None)
        await watch.refuse_at_once()
        await _until_stopped(stop, relay.run(stop), watch.run(), _journal(telemetry, clock).keep())
    log.info("service.stopped")


async def _until_stopped(
    stop: asyncio.Event, relaying: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, NoReturn]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        relay, *others = [tasks.create_task(work) for work in (relaying, *beside)]
        await stop.wait()
        await asyncio.wait({relay}, timeout=FINISH_WITHIN_S)
        for task in (relay, *others):
            task.cancel()


def _journal(telemetry: Telemetry, clock: Clock) -> Journal:
    counters = {
        "published": telemetry.published,
        "dead_letters": telemetry.dead_letters,
        "faults": telemetry.faults,
        "intake_requests": telemetry.intake,
    }

    def now() -> dict[str, float]:
        gauges = {"active": telemetry.active, "backlog": telemetry.backlog, "oldest_s": telemetry.oldest}
        return {name: reading(gauge) for name, gauge in gauges.items()}

    return Journal(partial(log.info, "relay.progress"), counters, now, clock)


if __name__ == "__main__":
    never_create_topics()
    commands(prog_name="python -m producer")
