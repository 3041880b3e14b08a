"""`python -m producer topics`: create and verify the topics."""

import asyncio
from collections.abc import Collection
from typing import Annotated

import typer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from producer.settings import KafkaSettings
from runtime.clock import SystemClock
from runtime.commands import exit_for, fail, start_command
from runtime.kafka import new_topics
from runtime.kafka.acls import commands
from runtime.kafka.admission import ask_admission
from runtime.kafka.further_tries import asked_again
from runtime.kafka.topic_settings import Difference, differences, verdict
from runtime.kafka.topics import admin_client


def topics(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is missing or differs, and create nothing.")
    ] = False,
    acls: Annotated[
        bool, typer.Option("--acls", help="Print kafka-acls.sh commands that grant each program its rights, and exit.")
    ] = False,
    group: Annotated[str, typer.Option(help="With --acls: the workers' CONSUMER_GROUP.")] = "hubspot-consumer",
) -> None:
    """Create missing topics, those of the consumer and the console too; verify the others.

    New topics get KAFKA_PARTITIONS partitions, or as many as the existing ones, and KAFKA_REPLICATION_FACTOR copies.
    Topics that no event is published to get one partition, and at least as many copies as the event topics.
    Existing topics are never altered. If one has too few partitions or copies, keeps events for less than 30 days, or
    could lose acknowledged events, the exit code is 1, and the Kafka command that changes it is printed.
    """
    settings = start_command(KafkaSettings)
    if acls:
        print(*commands(settings.topics, group, settings.kafka_bootstrap_servers), sep="\n")
        return
    try:
        asyncio.run(_topics(settings, dry_run=dry_run))
    except Exception as error:
        exit_for(error)
        if isinstance(error, KafkaError | OSError):
            fail(f"KAFKA_BOOTSTRAP_SERVERS: no broker answers at {settings.kafka_bootstrap_servers} ({error})")
        raise


async def _topics(settings: KafkaSettings, *, dry_run: bool) -> None:
    names, replicas = settings.topics, settings.kafka_replication_factor
    await ask_admission(settings.client_options())
    async with admin_client(settings.client_options()) as admin:
        found = await new_topics.find(admin, names, names.all)
        created: Collection[str] = ()
        if found.missing:
            await new_topics.refuse_too_few_brokers(admin, replicas)
            created = () if dry_run else await new_topics.create(admin, settings, found)

        # The check comes last: another program may have created a topic meanwhile. New topics are verified like the
        # others.
        async def verify() -> dict[str, list[Difference]]:
            found = await differences(
                admin, names, names.all, partitions=settings.kafka_partitions, replication_factor=replicas
            )
            if unknown := set(created) - found.keys():
                raise UnknownTopicOrPartitionError(*sorted(unknown))
            return found

        # Any broker may be asked, and one may not have heard of the new topics yet.
        found_as = await asked_again(verify, SystemClock())
        for name in names.all:
            if name in found_as:
                lines = verdict(name, found_as[name], settings.kafka_bootstrap_servers, created=name in created)
                print(*lines, sep="\n")
            else:
                print(f"missing  {name}")
        now = await new_topics.find(admin, names, names.all)
    print(f"{now.partitions or settings.kafka_partitions} partitions each")
    if any(one.is_certain for differing in found_as.values() for one in differing):
        fail("topics that differ were not changed: docs/runbook.md says what to do")
