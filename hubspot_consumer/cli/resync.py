"""`python -m hubspot_consumer resync`: write one contact again."""

from functools import partial
from typing import Annotated

import typer

from hubspot_consumer.cli.options import RateShare, contact
from hubspot_consumer.cli.progress import Display, ProgressAs
from hubspot_consumer.cli.runs import settings_of_run, work_in_session
from hubspot_consumer.history.plan import Tally
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.resync import RATE_SHARE
from hubspot_consumer.reprocessing.run import temporary_run
from hubspot_consumer.reprocessing.session import RunAccess, RunSession
from schemas.contacts import ContactKey, contact_hash, masked


def resync(
    email: Annotated[str, typer.Argument(help="Email of the contact.")],
    *,
    rate_share: RateShare = RATE_SHARE,
    timeline: Annotated[bool, typer.Option(help="Write timeline entries too; none appears twice.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the values that its events give, without a call to HubSpot.")
    ] = False,
    progress_as: ProgressAs = "bars",
) -> None:
    """Let all events of one contact take effect again, and show what that changes.

    Reads the contact's partitions, applies the present mapping to its events, and writes the contact once. A worker
    with newer events of the contact waits meanwhile. Exits with 1 if there are no events, or if HubSpot refuses the
    contact.
    """
    settings = settings_of_run(dry_run=dry_run)
    work = partial(_resync, key=contact("EMAIL", email), dry_run=dry_run)
    with temporary_run("resync") as run:
        work_in_session(
            work, "resync", settings, run, rate_share=rate_share, progress_as=progress_as, timeline=timeline
        )


async def _resync(session: RunSession, display: Display, *, key: ContactKey, dry_run: bool) -> int:
    if not dry_run:
        await session.keep_off_while_paused()
    with display.progress("read") as shown:
        projections = await session.projections(Selection(contacts=frozenset([key])), shown)
    keys = projections.moved.together([key])
    projected = [projections.project(one) for one in keys]
    tally = sum(map(Tally.of, projected), Tally())
    for line in tally.lines_of_unmapped():
        print(line)
    events = sorted((each for projection in projected for each in projection.events), key=lambda each: each[0].at_ms)
    if not events:
        other = "other " if tally.unmapped else ""
        print(f"the topics have no {other}event of {masked(key)} ({contact_hash(key)})")
        return 1
    display.tell(plan={"events": len(events), "contacts": 1})
    for _, envelope in events:
        print(f"{envelope.sequence:>6}  {envelope.occurred_at:%Y-%m-%d %H:%M:%S}  {envelope.type}")
    if dry_run:
        for name, value in sorted(projected[-1].properties.items()):
            print(f"{name:<40} {value}")
        print("nothing was written: it was a dry run")
        return 0
    async with session.access(projections) as access:
        with display.progress("contacts") as shown:
            lines = await _written(projections, access, keys)
            shown(1, 1)
        print(*lines, sep="\n")
    if redriven := await session.resolve_redriven():
        print(f"{redriven} dead letters of the contact took effect, too")
    report = session.report
    for refused in report.refused:
        print(f"refused: {refused.event_type or 'the contact'}: {refused.detail}")
    if report.contacts_suppressed:
        print("the contact is suppressed, so it was not written: see `suppress --undo`")
    print(f"{report.contacts_written} contact written, {report.timeline_entries} timeline entries left")
    return 1 if report.refused or not report.contacts_written else 0


async def _written(projections: TopicProjections, access: RunAccess, keys: list[ContactKey]) -> list[str]:
    """Write the contact; return lines with the differences of its remote state before and after."""
    names = sorted({name for key in keys for name in projections.project(key).properties})
    before = await access.reader.contacts(keys, names)
    await access.write(keys)
    after = await access.reader.contacts(keys, names)
    lines = []
    for key in keys:
        was, now = before[key], after[key]
        if now is None:
            continue
        lines.append(f"contact {now.contact_id} of {masked(key)}{' is new' if was is None else ''}")
        old = was.properties if was is not None else {}
        changed = [name for name in names if old.get(name, "") != now.properties.get(name, "")]
        lines += [f"  {name:<40} {old.get(name) or '-'} -> {now.properties.get(name) or '-'}" for name in changed]
        if not changed:
            lines.append("  nothing was different")
    return lines
