"""`python -m hubspot_consumer audit`: reconciliation of HubSpot with the topics."""

import json
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.options import AsJson, RateShare, Yes, agreed, can_ask, can_write, contact, open_run
from hubspot_consumer.cli.progress import ProgressAs, Watcher, now_at, progress, watched
from hubspot_consumer.history.plan import Tally
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.reprocessing.audit import Audit, contacts_of
from hubspot_consumer.reprocessing.comparison import ContactDifference
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunAccess, RunSession, session
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings
from schemas.contacts import ContactKey, contact_hash, masked


def audit(  # noqa: PLR0913 - the options of the command
    *,
    sample: Annotated[
        int, typer.Option(min=0, help="Compare this many contacts, chosen at random; 0 compares all.")
    ] = 0,
    email: Annotated[list[str] | None, typer.Option("--contact", help="Compare this contact; may be repeated.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write contacts that differ again, as `resync` does.")
    ] = False,
    rate_share: RateShare = 0.3,
    yes: Yes = False,
    as_json: AsJson = False,
    progress_as: ProgressAs = "bars",
) -> None:
    """Reconcile HubSpot with the topics: compare contacts property by property, and write nothing.

    Lists contacts that are missing, stale (last written by an older event than the topics' newest) or ahead (by a newer
    one), and properties that are empty or differ. Events that a worker still has to write, and dead letters, are not
    differences. Reads a hundred contacts a call, within its share of the quota.

    Exits with 0 if nothing differs or all was repaired, with 1 if something differs, with 2 if an option is wrong.
    """
    settings = read_settings(Settings)
    can_write(settings, dry_run=False)
    if repair:
        can_ask(yes=yes)
    contacts = frozenset(contact("--contact", one) for one in email or ())
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        run = open_run(Path(folder), "audit", {}, fresh=False)
        with watched(progress_as) as watcher:
            told = {"repair": repair, "yes": yes, "as_json": as_json}
            work = _audit(settings, run, contacts, sample, rate_share, watcher=watcher, **told)
            raise SystemExit(run_to_its_end(work, "audit", settings, goes_on=False))


async def _audit(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    run: Run,
    contacts: frozenset[ContactKey],
    sample: int,
    rate_share: float,
    *,
    watcher: Watcher | None,
    repair: bool,
    yes: bool,
    as_json: bool,
) -> int:
    async with session(settings, run, "audit", rate_share) as opened:
        await opened.keep_off_while_paused()
        book = await opened.dead_letters()
        selection = Selection(contacts=contacts, set_aside=book.not_in_effect(), mends=book.mends(), dead_letters=False)
        with progress("read", watcher) as shown:
            folded = await opened.projections(selection, shown)
        now_at("plan", watcher)
        tally = await folded.tally()
        total = tally.contacts
        if watcher is not None:
            watcher.tell(plan={"contacts": min(sample or total, total)})
        async with opened.access(folded) as access, folded.followed():
            audited = Audit(folded, access)
            with progress("contacts", watcher) as shown:
                of = min(sample or total, total)
                found = await audited.compare(_batches(folded, sample, total), lambda done: shown(done, of))
            print(*_told(found, audited, tally, as_json=as_json), sep="\n")
            if not (found and repair and agreed(f"Write {len(contacts_of(found)):,} contacts again?", yes=yes)):
                return 1 if found else 0
            return await _repaired(folded, access, opened, contacts_of(found))


async def _repaired(folded: TopicProjections, access: RunAccess, opened: RunSession, keys: Sequence[ContactKey]) -> int:
    # After an email change, the other keys of the contact are written too: they are one contact.
    together = list(dict.fromkeys(one for key in keys for one in (*folded.moved.others(key), key)))
    updates = await access.writing.write(together)
    if access.entries is not None:
        await access.entries.leave(updates)
    left = await Audit(folded, access).compare([list(keys)], lambda _done: None)
    print(f"{opened.report.contacts_written:,} contacts written again")
    for refused in opened.report.refused:
        print(f"refused: {masked(refused.contact)}: {refused.detail}")
    for difference in left:
        print(_line(difference))
    return 1 if left or opened.report.refused else 0


def _batches(folded: TopicProjections, sample: int, total: int) -> Iterator[list[ContactKey]]:
    """Yield all contacts in batches, or about *sample* of them drawn at random; 0 yields all."""
    chance, left = random.Random(), sample  # noqa: S311 - draws a sample, guards nothing
    for keys, _ in folded.batches():
        if not sample:
            yield keys
            continue
        drawn = chance.sample(keys, min(left, len(keys), max(1, round(sample * len(keys) / max(total, 1)))))
        left -= len(drawn)
        if drawn:
            yield drawn


def _told(found: Sequence[ContactDifference], audited: Audit, tally: Tally, *, as_json: bool) -> Iterator[str]:
    kinds = Counter(difference.kind for difference in found)
    if as_json:
        told: dict[str, Any] = {"compared": audited.compared, "suppressed": audited.suppressed, "kinds": dict(kinds)}
        told |= {"unmapped": tally.unmapped, "unmapped_examples": tally.examples}
        yield json.dumps({**told, "differences": [difference.as_json() for difference in found]}, indent=2)
        return
    yield from map(_line, found)
    yield from tally.told_of_unmapped()
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "no difference"
    yield f"{audited.compared:,} contacts compared: {counted}"


def _line(difference: ContactDifference) -> str:
    who = f"{difference.kind:<8} {masked(difference.contact)} ({contact_hash(difference.contact)})"
    if not difference.name:
        return f"{who}: HubSpot has no such contact"
    return f"{who}: {difference.name} is {difference.held or 'empty'}, and should be {difference.expected}"
