"""`python -m hubspot_consumer resync`: write one contact again."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.options import RateShare, can_write, contact, open_run
from hubspot_consumer.cli.progress import ProgressAs, Watcher, progress, watched
from hubspot_consumer.history.plan import Tally
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunAccess, session
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings
from schemas.contacts import ContactKey, contact_hash, masked
from schemas.envelope import Envelope


def resync(
    email: Annotated[str, typer.Argument(help="Email of the contact.")],
    *,
    rate_share: RateShare = 0.1,
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
    settings = read_settings(Settings)
    can_write(settings, dry_run=dry_run)
    key = contact("EMAIL", email)
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    with tempfile.TemporaryDirectory(prefix="resync-") as folder:
        run = open_run(Path(folder), "resync", {}, fresh=False)
        with watched(progress_as) as watcher:
            work = _resync(settings, run, key, rate_share, watcher, timeline=timeline, dry_run=dry_run)
            raise SystemExit(run_to_its_end(work, "resync", settings, goes_on=False))


async def _resync(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    run: Run,
    key: ContactKey,
    rate_share: float,
    watcher: Watcher | None,
    *,
    timeline: bool,
    dry_run: bool,
) -> int:
    async with session(settings, run, "resync", rate_share, timeline=timeline) as opened:
        if not dry_run:
            await opened.keep_off_while_paused()
        with progress("read", watcher) as shown:
            book = await opened.dead_letters()
            selection = Selection(contacts=frozenset([key]), set_aside=book.not_in_effect(), mends=book.mends())
            folded = await opened.projections(selection, shown)
        keys = [*folded.moved.others(key), key]
        projections = [folded.project(one) for one in keys]
        for line in sum(map(Tally.of, projections), Tally()).told_of_unmapped():
            print(line)
        events = sorted(
            (each for projection in projections for each in projection.events), key=lambda each: each[0].at_ms
        )
        if not events:
            other = "other " if any(projection.unmapped for projection in projections) else ""
            print(f"the topics have no {other}event of {masked(key)} ({contact_hash(key)})")
            return 1
        if watcher is not None:
            watcher.tell(plan={"events": len(events), "contacts": 1})
        print(*_timeline(envelope for _, envelope in events), sep="\n")
        if dry_run:
            print(*(f"{name:<40} {value}" for name, value in sorted(folded.project(key).properties.items())), sep="\n")
            print("nothing was written: it was a dry run")
            return 0
        async with opened.access(folded) as access, folded.followed():
            with progress("contacts", watcher) as shown:
                written = await _written(folded, access, keys)
                shown(1, 1)
            print(*written, sep="\n")
        if redriven := await opened.settle(book):
            print(f"{redriven} dead letters of the contact took effect, too")
    report = opened.report
    for refused in report.refused:
        print(f"refused: {refused.event_type or 'the contact'}: {refused.detail}")
    if report.contacts_suppressed:
        print("the contact is suppressed, so it was not written: see `suppress --undo`")
    print(f"{report.contacts_written} contact written, {report.timeline_entries} timeline entries left")
    return 1 if report.refused or not report.contacts_written else 0


async def _written(folded: TopicProjections, access: RunAccess, keys: list[ContactKey]) -> list[str]:
    """Write the contact; return lines with the differences of its remote state before and after."""
    names = sorted({name for key in keys for name in folded.project(key).properties})
    before = await access.held.contacts(keys, names)
    updates = await access.writing.write(keys)
    if access.entries is not None:
        await access.entries.leave(updates)
    after = await access.held.contacts(keys, names)
    lines = []
    for key in keys:
        was, now = before[key], after[key]
        if now is None:
            continue
        lines.append(f"contact {now.contact_id} of {masked(key)}{' is new' if was is None else ''}")
        held = was.properties if was is not None else {}
        changed = [name for name in names if held.get(name, "") != now.properties.get(name, "")]
        lines += [f"  {name:<40} {held.get(name) or '-'} -> {now.properties.get(name) or '-'}" for name in changed]
        if not changed:
            lines.append("  nothing was different")
    return lines


def _timeline(envelopes: Iterable[Envelope]) -> Iterator[str]:
    for envelope in envelopes:
        yield f"{envelope.sequence:>6}  {envelope.occurred_at:%Y-%m-%d %H:%M:%S}  {envelope.type}"
