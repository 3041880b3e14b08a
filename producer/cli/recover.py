"""`python -m producer recover`: after a restore or a failover, the outbox continues where the topics end."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, Final

import psycopg
import typer
from aiokafka.errors import KafkaError

from producer.recovery.contacts import Behind, compare, waiting_rows
from producer.recovery.published import Published, read_published
from producer.settings import Settings
from runtime.commands import exit_for, fail, start_command
from runtime.kafka.admission import ask_admission
from runtime.progress import shown_progress
from schemas.contacts import contact_hash, masked

SHOWN: Final = 20


def recover(
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write; without this option, only show what would be written.")
    ] = False,
) -> None:
    """After a restore: raise each contact's sequence and totals to those of its newest event on Kafka.

    A database that was restored, or promoted by a failover that lost transactions, would give sequences again that
    other events have. Without --apply it writes nothing. It lowers nothing, and may be repeated. It writes in one
    transaction, after it has read every topic to its end. Stop the backend and the relay first: docs/runbook.md.
    """
    settings = start_command(Settings, log_level="warning")
    try:
        asyncio.run(_recover(settings, apply=apply))
    except psycopg.errors.UndefinedTable:
        fail("DATABASE_URL: the database has no outbox: run `python -m producer migrate`")
    except psycopg.errors.LockNotAvailable:
        fail("DATABASE_URL: a transaction of the backend has been open for 10 s: stop the backend, and run this again")
    except psycopg.Error as error:
        fail(f"DATABASE_URL: {str(error).strip().splitlines()[0]}")
    except Exception as error:
        exit_for(error)
        if isinstance(error, KafkaError | OSError):
            fail(f"KAFKA_BOOTSTRAP_SERVERS: the topics can't be read ({error}); nothing was written")
        raise


async def _recover(settings: Settings, *, apply: bool) -> None:
    url, options = settings.database_url.get_secret_value(), settings.client_options()
    await ask_admission(options)
    waiting = await waiting_rows(url)
    with shown_progress("records") as shown:
        published = await read_published(options, settings.topics, waiting, shown)
    print(*_read(published), sep="\n")
    behind = await compare(url, published.contacts, apply=apply)
    print(*_found(published, behind), sep="\n")
    print(_ending(behind, apply=apply))


def _read(published: Published) -> Iterator[str]:
    yield f"{published.records:,} records read, of {published.partitions} partitions to their ends"
    if not published.cut_off:
        return
    yield f"retention has deleted the first records of {len(published.cut_off)} partitions:"
    for topic, partitions in groupby(published.cut_off, lambda one: one.topic):
        yield f"  {topic} {', '.join(str(one.partition) for one in partitions)}"
    if published.since is None:
        yield "  these are empty now: what they had is unknown"
    else:
        yield (
            f"  those that are not empty have all records since {published.since:%Y-%m-%d %H:%M:%S} UTC: enough if the"
            " backup is newer than that"
        )


def _found(published: Published, behind: Sequence[Behind]) -> Iterator[str]:
    lacking = sum(one.known is None for one in behind)
    yield (
        f"{len(published.contacts):,} contacts on the topics: the database lacks {lacking:,}, and is behind of"
        f" {len(behind) - lacking:,}"
    )
    if differing := [one for one in behind if one.other_totals]:
        yield f"{len(differing):,} of them have other totals on the topics:"
        yield from map(_difference, differing[:SHOWN])
        if len(differing) > SHOWN:
            yield f"  and {len(differing) - SHOWN:,} more"
    if reusing := _count(published.reusing):
        yield (
            f"{reusing:,} unpublished rows reuse a sequence: workers will make them dead letters (sequence_reused) for"
            " `redrive`"
        )


def _difference(one: Behind) -> str:
    before = "none" if one.known is None else one.known.sequence
    totals = (f"{name} {old} -> {new}" for name, (old, new) in one.other_totals.items())
    changes = ", ".join((f"sequence {before} -> {one.raised.sequence}", *totals))
    return f"  {masked(one.key)} ({contact_hash(one.key)}): {changes}"


def _ending(behind: Sequence[Behind], *, apply: bool) -> str:
    if not behind:
        return "nothing to write: the database is behind of no contact"
    if apply:
        return f"{len(behind):,} contacts raised: their next events continue where the topics end"
    return "nothing was written: --apply raises the sequences and totals"


def _count(of: Iterable[object]) -> int:
    return sum(1 for _ in of)
