"""`python -m hubspot_consumer audit`: reconciliation of HubSpot with the topics."""

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Annotated

import typer

from hubspot_consumer.cli.options import AsJson, RateShare, Yes, agreed, can_ask, contact
from hubspot_consumer.cli.progress import Display, ProgressAs
from hubspot_consumer.cli.runs import settings_of_run, work_in_session
from hubspot_consumer.history.plan import Tally
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.reprocessing.audit import Audit, contacts_of
from hubspot_consumer.reprocessing.comparison import ContactDifference
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.run import temporary_run
from hubspot_consumer.reprocessing.session import RunAccess, RunSession
from hubspot_consumer.reprocessing.snapshot import WORTH_AN_EXPORT, NoSnapshot, Snapshot, take_snapshot
from schemas.contacts import ContactKey, contact_hash, masked, named


def audit(  # noqa: PLR0913 - the options of the command
    *,
    sample: Annotated[
        int, typer.Option(min=0, help="Compare this many contacts, chosen at random; 0 compares all.")
    ] = 0,
    email: Annotated[list[str] | None, typer.Option("--contact", help="Compare this contact; may be repeated.")] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Write contacts that differ again, as `resync` does, and set events aside."),
    ] = False,
    rate_share: RateShare = 0.3,
    yes: Yes = False,
    as_json: AsJson = False,
    progress_as: ProgressAs = "bars",
) -> None:
    """Reconcile HubSpot with the topics: compare contacts property by property, and write nothing.

    Lists contacts that are missing, stale (last written by an older event than the topics' newest) or ahead (by a newer
    one), and properties that are empty or differ. Events that a worker still has to write, and dead letters, are not
    differences. Lists events that took no effect because an earlier event has their sequence, as after a restore of the
    database: --repair sets them aside for `redrive`.

    A million contacts cost about 40 calls if the token has the scope `crm.export`: HubSpot writes them into a file, of
    which there are 30 a day, and only contacts that look wrong there are read. Without the scope, and for a sample,
    contacts are read a hundred a call: a million cost 10,000 calls, within the command's share of the quota.

    Exits with 0 if nothing differs or all was repaired, with 1 if something differs, with 2 if an option is wrong.
    """
    settings = settings_of_run(dry_run=False)
    can_ask(needed=repair and not yes)
    contacts = frozenset(contact("--contact", one) for one in email or ())
    work = partial(_audit, contacts=contacts, sample=sample, repair=repair, yes=yes, as_json=as_json)
    with temporary_run("audit") as run:
        work_in_session(work, "audit", settings, run, rate_share=rate_share, progress_as=progress_as)


async def _audit(  # noqa: PLR0913 - the options of the command
    session: RunSession,
    display: Display,
    *,
    contacts: frozenset[ContactKey],
    sample: int,
    repair: bool,
    yes: bool,
    as_json: bool,
) -> int:
    await session.keep_off_while_paused()
    with display.progress("read") as shown:
        projections = await session.projections(Selection(contacts=contacts, dead_letters=False), shown)
    display.begin("plan")
    tally = await projections.tally()
    to_compare = min(sample or tally.contacts, tally.contacts)
    display.tell(plan={"contacts": to_compare})
    async with session.access(projections) as access:
        everything = not (contacts or sample) and tally.contacts >= WORTH_AN_EXPORT
        async with _snapshot(session, access, projections, display, to_compare if everything else 0) as snapshot:
            audited = Audit(projections, access, snapshot)
            with display.progress("contacts") as shown:
                batches = _batches(projections, sample, tally.contacts)
                found = await audited.compare(batches, lambda done: shown(done, to_compare))
        # An event may have become a dead letter since the dead letters were read.
        reused = await session.never_set_aside(audited.reused)
        calls = session.report.calls.total()
        print(*_output(found, reused, audited, tally, calls, as_json=as_json), sep="\n")
        differing = contacts_of(found)
        question = f"Write {len(differing):,} contacts again, and set {len(reused):,} events aside?"
        if not ((found or reused) and repair and agreed(question, yes=yes)):
            return 1 if found or reused else 0
        if reused:
            await session.set_aside(reused)
        # After an email change, the other keys of the contact are written too: they are one contact.
        await access.write(projections.moved.together(differing))
        left = await Audit(projections, access).compare([differing])
    print(f"{session.report.contacts_written:,} contacts written again")
    if reused:
        print(f"{len(reused):,} events set aside: `redrive --reason sequence_reused` lets them take effect")
    for refused in session.report.refused:
        print(f"refused: {masked(refused.contact)}: {refused.detail}")
    for difference in left:
        print(_line(difference))
    return 1 if left or session.report.refused else 0


@asynccontextmanager
async def _snapshot(
    session: RunSession, access: RunAccess, projections: TopicProjections, display: Display, contacts: int
) -> AsyncIterator[Snapshot | None]:
    """Give a snapshot of so many *contacts*; None for 0, and where HubSpot gives no export, which is said."""
    snapshot = None
    if contacts:
        # HubSpot has all that the group has finished before the export begins.
        unfinished = await projections.lag.unfinished()
        file = session.run.file.with_name("snapshot.sqlite")
        try:
            with display.progress("export") as shown:
                snapshot = await take_snapshot(
                    access.client,
                    access.reader,
                    file,
                    unfinished=unfinished,
                    clock=session.clock,
                    progress=lambda done: shown(done, max(done, contacts)),
                )
        except NoSnapshot as why:
            display.tell(f"no export: {why}; contacts are read instead, a hundred a call", no_export=str(why))
    if snapshot is None:
        yield None
        return
    await projections.scan.caught_up()
    with closing(snapshot):
        yield snapshot


def _batches(projections: TopicProjections, sample: int, total: int) -> Iterator[list[ContactKey]]:
    """Yield all contacts in batches, or about *sample* of them drawn at random; 0 yields all."""
    chance, left = random.Random(), sample  # noqa: S311 - draws a sample, guards nothing
    for keys, _ in projections.batches(after=ContactKey("")):
        if not sample:
            yield keys
            continue
        drawn = chance.sample(keys, min(left, len(keys), max(1, round(sample * len(keys) / max(total, 1)))))
        left -= len(drawn)
        if drawn:
            yield drawn


def _output(  # noqa: PLR0913 - what there is to say, and how
    found: Sequence[ContactDifference],
    reused: Sequence[Stored],
    audited: Audit,
    tally: Tally,
    calls: int,
    *,
    as_json: bool,
) -> Iterator[str]:
    kinds = Counter[str](difference.kind for difference in found)
    if as_json:
        report = {
            "compared": audited.compared,
            "suppressed": audited.suppressed,
            "read": audited.read,
            "calls": calls,
            "kinds": dict(kinds),
            "reused": [
                {**named(ContactKey(event.key)), "sequence": event.sequence, "record": event.record().place}
                for event in reused
            ],
            "unmapped": tally.unmapped,
            "unmapped_examples": tally.examples,
            "differences": [difference.as_json() for difference in found],
        }
        yield json.dumps(report, indent=2)
        return
    yield from map(_line, found)
    for event in reused:
        place = event.record().place
        yield f"{_who('reused', event.key)}: an earlier event has the sequence {event.sequence} of {place}"
    yield from tally.lines_of_unmapped()
    kinds += Counter(reused=len(reused))
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "no difference"
    yield f"{audited.read:,} contacts were read; there were {calls:,} calls to HubSpot"
    yield f"{audited.compared:,} contacts compared: {counted}"
    if audited.suppressed:
        yield f"{audited.suppressed:,} contacts are suppressed, and were not compared"


def _line(difference: ContactDifference) -> str:
    who = _who(difference.kind, difference.contact)
    if not difference.name:
        return f"{who}: HubSpot has no such contact"
    return f"{who}: {difference.name} is {difference.held or 'empty'}, and should be {difference.expected}"


def _who(kind: str, key: str) -> str:
    return f"{kind:<8} {masked(key)} ({contact_hash(ContactKey(key))})"
