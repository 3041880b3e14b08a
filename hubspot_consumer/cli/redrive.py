"""`python -m hubspot_consumer redrive`: let dead letters take effect after all."""

import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hubspot_consumer.cli.exit_codes import run_to_its_end
from hubspot_consumer.cli.lookup import letters_of
from hubspot_consumer.cli.options import (
    AsJson,
    RateShare,
    Yes,
    agreed,
    can_ask,
    can_write,
    contact,
    known_types,
    open_run,
)
from hubspot_consumer.cli.progress import ProgressAs, Watcher, progress, watched
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.reprocessing.redrive import Legible, Redriving, read_legible
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunSession, session
from hubspot_consumer.settings import Settings
from runtime import logs
from runtime.commands import read_settings
from schemas.contacts import ContactKey, shortened
from schemas.texts import LONGEST_KEPT

# Contacts whose dead letters are resolved together: after a crash so many may be written again, which does no harm.
CONTACTS_AT_ONCE = 500
# Limit of dead letters in the JSON output, because nobody reads thousands; `dead-letters list` has all of them.
MOST_TOLD = 200


def redrive(  # noqa: PLR0913 - the options of the command
    *,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="The dead letter with this id of `dead-letters list`; may be repeated."),
    ] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Dead letters with this reason; may be repeated.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option(help="Dead letters of this event type; may be repeated.")
    ] = None,
    email: Annotated[str, typer.Option("--contact", help="Dead letters of this contact.")] = "",
    rate_share: RateShare = 0.3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which ones can be read now.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    progress_as: ProgressAs = "bars",
) -> None:
    """Let dead letters take effect after all, once their cause is repaired.

    Each contact gets the values that all its events give, so nothing overwrites newer values. Timeline entries are
    written under their own ids. Each dead letter ends redriven, or dead with its new reason; none is redriven twice.
    Use `dead-letters discard` for those that must not take effect.

    Exits with 0 if all were redriven, with 1 if some are still dead, with 2 if an option is wrong.
    """
    settings = read_settings(Settings)
    can_write(settings, dry_run=dry_run)
    if not dry_run:
        can_ask(yes=yes)
    which = LetterFilter(
        reasons=frozenset(reason or ()),
        event_types=frozenset(known_types(event_type)),
        contact=contact("--contact", email) if email else None,
        ids=frozenset(ids or ()),
    )
    logs.set_up(level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="redrive-") as folder:
        run = open_run(Path(folder), "redrive", {}, fresh=False)
        with watched(progress_as) as watcher:
            work = _redrive(settings, run, which, rate_share, watcher, dry_run=dry_run, yes=yes, as_json=as_json)
            raise SystemExit(run_to_its_end(work, "redrive", settings))


async def _redrive(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    run: Run,
    which: LetterFilter,
    rate_share: float,
    watcher: Watcher | None,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    said = _Said(as_json=as_json)
    async with session(settings, run, "redrive", rate_share) as opened:
        # There is no limit: finding the dead letters that are refused again is a purpose of this command.
        opened.report.most_refused = sys.maxsize
        book = await opened.dead_letters()
        letters = _open(book, which, said)
        if not letters:
            said.nothing("no matching dead letter is open")
            return 0
        legible = await read_legible(book, letters, settings.topics.dead_letters)
        said.plan(letters, legible, watcher)
        if dry_run:
            said.nothing("nothing was written: it was a dry run")
            return 0
        await opened.keep_off_while_paused()
        if not agreed("Redrive them?", yes=yes):
            said.nothing("nothing was written")
            return 0
        settling = Redriving(opened.settlement(), opened.report, run.id, opened.clock)
        await settling.unreadable(legible.unreadable)
        if legible.letters:
            set_aside = book.not_in_effect() | {event.place for event in legible.events}
            contacts = frozenset(legible.letters)
            selection = Selection(contacts=contacts, places=legible.places, set_aside=set_aside, mends=book.mends())
            await _write(opened, run, legible, selection, settling, watcher=watcher)
    said.settled(run, settling)
    return 1 if settling.dead else 0


def _open(catalogue: DeadLetterCatalogue, which: LetterFilter, said: "_Said") -> list[Letter]:
    """Return the open dead letters that *which* selects. Raises NotDone for an unknown id."""
    for letter in letters_of(catalogue, sorted(which.ids)):
        if not letter.is_open:
            said.aside(f"{letter.id} is already {letter.state}")
    return catalogue.open(which)


async def _write(  # noqa: PLR0913 - the options of the command
    opened: RunSession,
    run: Run,
    legible: Legible,
    selection: Selection,
    settling: Redriving,
    *,
    watcher: Watcher | None,
) -> None:
    run.store.add(legible.events, {})
    with progress("read", watcher) as shown:
        folded = await opened.projections(selection, shown)
    async with opened.access(folded) as access, folded.followed():
        with progress("contacts", watcher) as shown:
            for number, together in enumerate(calls_of(sorted(legible.letters), CONTACTS_AT_ONCE)):
                keys: list[ContactKey] = list(
                    dict.fromkeys(one for key in together for one in (*folded.moved.others(key), key))
                )
                updates = await access.writing.write(keys)
                if access.entries is not None:
                    await access.entries.leave(updates)
                for key in together:
                    await settling.written(legible.letters[key], suppressed=access.suppressions.contains(key))
                shown(number * CONTACTS_AT_ONCE + len(together), len(legible.letters))


class _Said:
    """The output of the command: text lines during the work, or with *as_json* one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._plan: Mapping[str, Any] | None = None

    def aside(self, words: str) -> None:
        if not self._as_json:
            print(words)

    def plan(self, letters: Sequence[Letter], legible: Legible, watcher: Watcher | None) -> None:
        self._plan = _plan(letters, legible)
        if watcher is not None:
            watcher.tell(plan=self._plan)
        for line in _told(letters, legible):
            self.aside(line)

    def nothing(self, words: str) -> None:
        """Print the reason why nothing was written."""
        print(json.dumps({"plan": self._plan, "redriven": 0, "still_dead": 0}, indent=2) if self._as_json else words)

    def settled(self, run: Run, settling: Redriving) -> None:
        if not self._as_json:
            print(f"{settling.redriven:,} redriven, {settling.dead:,} still dead: see `dead-letters list`")
            return
        counts = {"redriven": settling.redriven, "still_dead": settling.dead, "letters_total": len(settling.told)}
        told = sorted(settling.told, key=lambda letter: letter["state"] == "redriven")[:MOST_TOLD]
        print(json.dumps({"run": run.id, "plan": self._plan, **counts, "letters": told}, indent=2))


def _plan(letters: Sequence[Letter], legible: Legible) -> Mapping[str, Any]:
    return {
        "dead_letters": len(letters),
        "contacts": len(legible.letters),
        "reasons": dict(sorted(Counter(letter.reason for letter in letters).items())),
        "unreadable_total": len(legible.unreadable),
        "unreadable": [
            {"id": letter.id, "reason": error.reason, "detail": shortened(error.detail, LONGEST_KEPT)}
            for letter, error in legible.unreadable[:MOST_TOLD]
        ],
    }


def _told(letters: Sequence[Letter], legible: Legible) -> Iterator[str]:
    reasons = Counter(letter.reason for letter in letters)
    for reason, number in sorted(reasons.items()):
        yield f"{number:>8,}  {reason}"
    yield f"{len(letters):,} dead letters of {len(legible.letters):,} contacts"
    if legible.unreadable:
        yield f"{len(legible.unreadable):,} of them still can't be read or mapped"
