"""`python -m producer topics`: the topics, made or verified."""

import asyncio
from collections.abc import Collection
from typing import Annotated

import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from producer import topics as kafka_topics
from producer.settings import KafkaSettings
from producer.topic_settings import differences, verdict
from runtime import logs
from runtime.clock import SystemClock
from runtime.commands import fail, read_settings, refuse
from runtime.endings import CannotGoOn, Misconfigured
from runtime.kafka.admission import ask_admission


def topics(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing or differs, and create nothing.")
    ] = False,
) -> None:
    """Create the topics that Kafka lacks, one for each event type and one for the dead letters; verify the others.

    New topics get KAFKA_PARTITIONS partitions, or as many as those that exist, and KAFKA_REPLICATION_FACTOR copies.
    What exists is never altered: where it has fewer partitions or copies, keeps events for less than 30 days, or could
    lose acknowledged ones, the exit code is 1, and the command of Kafka's that changes it is printed.
    """
    settings = read_settings(KafkaSettings)
    logs.set_up(level=settings.log_level, secrets=settings.secrets)
    try:
        asyncio.run(_topics(settings, dry_run=dry_run))
    except Misconfigured as error:
        refuse(str(error))
    except CannotGoOn as error:
        fail(str(error))
    except (KafkaError, OSError) as error:
        fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers at {settings.kafka_bootstrap_servers} ({error})")


async def _topics(settings: KafkaSettings, *, dry_run: bool) -> None:
    clock, names = SystemClock(), settings.topics
    await ask_admission(settings.client_options())
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        found = await kafka_topics.find(admin, names)
        plan = kafka_topics.plan(
            found, partitions=settings.kafka_partitions, replication_factor=settings.kafka_replication_factor
        )
        await kafka_topics.refuse_too_few_brokers(admin, plan)
        created: Collection[str] = ()
        if plan.create and not dry_run:
            created = await kafka_topics.create(admin, names, plan, clock)
        # Only now: somebody else may have created a topic meanwhile. What was created here is verified like the rest.
        differing = await differences(
            admin,
            names,
            [*names.all, *names.compacted],
            partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
        )
        for name in (*names.all, *names.compacted):
            if name in created and not differing.get(name):
                print(f"created  {name}")
            elif name in differing:
                print(*verdict(name, differing[name], settings.kafka_bootstrap_servers), sep="\n")
            elif name in plan.create:
                print(f"missing  {name}")
        now = await kafka_topics.find(admin, names)
    finally:
        await admin.close()
    print(f"{now.partitions or plan.partitions} partitions each")
    if any(differing.values()):
        fail("topics that differ were left as they are: docs/runbook.md says what to do")
