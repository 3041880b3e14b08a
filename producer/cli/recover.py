"""`python -m producer recover`: after a restore or a failover, the outbox continues where the topics end."""

import asyncio
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Annotated, Any, Final

import psycopg
import typer
from aiokafka.errors import KafkaError

from producer.recovery.contacts import Behind, compare, parked_events, waiting_rows
from producer.recovery.emails import Damaged, Evidence, mend
from producer.recovery.published import Published
from producer.recovery.topics import read_suppressions, read_topics
from producer.settings import DatabaseSettings, Settings
from runtime.commands import exit_for, fail, refuse, start_command
from runtime.database import why_refused
from runtime.kafka.admission import ask_admission
from runtime.progress import shown_progress
from schemas.contacts import ContactKey, contact_hash, masked

SHOWN: Final = 20
# What HubSpot holds is asked by the consumer, which has the token.
HELD: Final = "python -m hubspot_consumer audit --contact"


def recover(
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write; without this option, only show what would be written.")
    ] = False,
    emails: Annotated[
        bool, typer.Option("--emails", help="Instead: rename contacts whose email lost the letter v.")
    ] = False,
    from_topics: Annotated[
        bool, typer.Option("--from-topics", help="With --emails: take emails from the topics too, and suppressions.")
    ] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="With --emails: show whole emails, and the command that asks HubSpot.")
    ] = False,
) -> None:
    """After a restore: raise each contact's sequence and totals to those of its newest event on Kafka.

    A database that was restored, or promoted by a failover that lost transactions, would give sequences again that
    other events have, and track parked events again that were published. Without --apply it writes nothing. It lowers
    nothing, and may be repeated. It writes in one transaction, after it has read every topic to its end. Stop the
    backend and the relay first: docs/runbook.md.

    With --emails it mends what PostgreSQL 13 to 16 did to emails that begin or end with the letter v. It takes the true
    email from the rows of the outbox, and merges no contacts: those that a person has to decide on are listed, with
    which of their keys are suppressed.
    """
    if from_topics and not emails:
        refuse("--from-topics is an option of --emails: without that, the topics are always read")
    if reveal and not emails:
        refuse("--reveal is an option of --emails")
    try:
        if not emails:
            asyncio.run(_recover(_settings(Settings), apply=apply))
        elif from_topics:
            asyncio.run(_emails(settings := _settings(Settings), settings, apply=apply, reveal=reveal))
        else:
            asyncio.run(_emails(_settings(DatabaseSettings), None, apply=apply, reveal=reveal))
    except psycopg.errors.UndefinedTable:
        fail("DATABASE_URL: the database has no outbox, or an old one: run `python -m producer migrate`")
    except psycopg.errors.LockNotAvailable:
        fail("DATABASE_URL: transactions of the backend are open: stop the backend, and run this again")
    except psycopg.Error as error:
        fail(why_refused(error))
    except Exception as error:
        exit_for(error)
        if isinstance(error, KafkaError | OSError):
            fail(f"KAFKA_BOOTSTRAP_SERVERS: the topics can't be read ({error}); nothing was written")
        raise


_settings: Final = partial(start_command, log_level="warning")


async def _recover(settings: Settings, *, apply: bool) -> None:
    # Reading the topics may take longer than a password lasts.
    url = settings.database
    published = Published(await waiting_rows(url()), await parked_events(url()))
    print(*await _read(settings, published.add, "enough if the backup is newer than that"), sep="\n")
    contacts, parked_too = published.contacts, published.parked_too
    behind = await compare(url(), contacts, parked_too, apply=apply)
    print(*_found(published, behind), sep="\n")
    if not (behind or parked_too):
        print("nothing to write: the database is behind on no contact")
    elif apply:
        deleted = f", {len(parked_too):,} parked events deleted" if parked_too else ""
        print(f"{len(behind):,} contacts raised{deleted}: their next events continue where the topics end")
    else:
        deletes = " and deletes these parked events" if parked_too else ""
        print(f"nothing was written: --apply raises the sequences and totals{deletes}")


async def _emails(database: DatabaseSettings, kafka: Settings | None, *, apply: bool, reveal: bool) -> None:
    url, evidence = database.database, Evidence()
    await evidence.add_outbox(url())
    if kafka is not None:
        print(*await _read(kafka, evidence.add_record, "older emails are not there"), sep="\n")
        evidence.suppressions = await read_suppressions(kafka.client_options(), kafka.topics)
    found = await mend(url(), evidence, apply=apply)
    renamed = [one for one in found if not one.why]
    print(f"{len(renamed):,} contacts {'were renamed' if apply else 'to rename'}:" if renamed else "nothing to rename")
    for one in renamed:
        print(f"  {_renaming(one, reveal=reveal)}")
    if undecided := [one for one in found if one.why]:
        print(f"{len(undecided):,} for you to decide on:", *_undecided(undecided, evidence, reveal=reveal), sep="\n")
    if renamed and not apply:
        print("nothing was written: --apply renames")


async def _read(settings: Settings, take: Callable[[Any], object], means: str) -> list[str]:
    """Pass all records to *take*, and return what to say of them. *means* is what it means where the first are gone."""
    await ask_admission(settings.client_options())
    with shown_progress("records") as shown:
        reading = await read_topics(settings.client_options(), settings.topics.published, take, shown)
    lines = [f"{reading.records:,} records read, of {reading.partitions} partitions to their ends"]
    if not reading.cut_off:
        return lines
    lines.append(f"retention has deleted the first records of {len(reading.cut_off)} partitions:")
    for topic, partitions in groupby(reading.cut_off, lambda one: one.topic):
        lines.append(f"  {topic} {', '.join(str(one.partition) for one in partitions)}")
    if reading.since is None:
        lines.append("  these are empty now: what they had is unknown")
    else:
        since = f"{reading.since:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"  those that are not empty have all records since {since}: {means}")
    return lines


def _found(published: Published, behind: Sequence[Behind]) -> Iterator[str]:
    lacking = sum(one.known is None for one in behind)
    yield (
        f"{len(published.contacts):,} contacts on the topics: the database lacks {lacking:,}, and is behind on"
        f" {len(behind) - lacking:,}"
    )
    if differing := [one for one in behind if one.other_totals]:
        yield f"{len(differing):,} of them have other totals on the topics:"
        yield from map(_difference, differing[:SHOWN])
        if len(differing) > SHOWN:
            yield f"  and {len(differing) - SHOWN:,} more"
    if parked := len(published.parked_too):
        yield f"{parked:,} parked events were published before the restore: the next signup would track them again"
    if reusing := sum(1 for _ in published.reusing):
        yield (
            f"{reusing:,} unpublished rows reuse a sequence: workers will make them dead letters (sequence_reused) for"
            " `redrive`"
        )


def _undecided(undecided: Sequence[Damaged], evidence: Evidence, *, reveal: bool) -> Iterator[str]:
    for one in undecided:
        keys = {"the damaged key": one.key, "the true email": one.true}
        suppressed = " and ".join(name for name, key in keys.items() if evidence.suppresses(key)) or "neither"
        known = "unknown" if evidence.suppressions is None else suppressed
        yield f"  {_renaming(one, reveal=reveal)}: {one.why}; suppressed: {known}"
        if reveal:
            yield f"    {HELD} {shlex.quote(one.key)}"
    if evidence.suppressions is None:
        yield "suppressions are unknown: --from-topics reads them, if their topic is there"
    if not reveal:
        yield f"what HubSpot holds under a damaged key: `{HELD} KEY`; --reveal shows the keys"


def _renaming(one: Damaged, *, reveal: bool) -> str:
    return f"{one.key} -> {one.true}" if reveal else f"{_who(one.key)} -> {_who(one.true)}"


def _difference(one: Behind) -> str:
    before = "none" if one.known is None else one.known.sequence
    totals = (f"{name} {old} -> {new}" for name, (old, new) in one.other_totals.items())
    return f"  {_who(one.key)}: {', '.join((f'sequence {before} -> {one.raised.sequence}', *totals))}"


def _who(key: ContactKey) -> str:
    return f"{masked(key)} ({contact_hash(key)})"
