"""`python -m hubspot_consumer redrive`: let dead letters take effect after all."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from hubspot_consumer.cli.lookup import letters_of
from hubspot_consumer.cli.options import AsJson, RateShare, Yes, agreed, can_ask, contact, known_types
from hubspot_consumer.cli.progress import Display, ProgressAs
from hubspot_consumer.cli.runs import settings_of_run, work_in_session
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.delivery.batches import calls_of
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.reprocessing.redrive import Legible, Redriving, read_legible
from hubspot_consumer.reprocessing.run import Run, temporary_run
from hubspot_consumer.reprocessing.session import RunSession
from schemas.contacts import shortened
from schemas.texts import LONGEST_KEPT

# Contacts whose dead letters are resolved together: after a crash so many may be written again, which does no harm.
CONTACTS_AT_ONCE = 500
# Limit of dead letters in the JSON output, because nobody reads thousands; `dead-letters list` has all of them.
MOST_LISTED = 200


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
    settings = settings_of_run(dry_run=dry_run)
    can_ask(needed=not (yes or dry_run))
    which = LetterFilter(
        reasons=frozenset(reason or ()),
        event_types=frozenset(known_types(event_type)),
        contact=contact("--contact", email) if email else None,
        ids=frozenset(ids or ()),
    )
    output, topic = Output(as_json=as_json), settings.topics.dead_letters
    work = partial(_redrive, which=which, topic=topic, dry_run=dry_run, yes=yes, output=output)
    with temporary_run("redrive") as run:
        work_in_session(work, "redrive", settings, run, rate_share=rate_share, progress_as=progress_as, goes_on=True)


async def _redrive(  # noqa: PLR0913 - the options of the command
    session: RunSession,
    display: Display,
    *,
    which: LetterFilter,
    topic: str,
    dry_run: bool,
    yes: bool,
    output: "Output",
) -> int:
    # There is no limit: finding the dead letters that are refused again is a purpose of this command.
    session.report.most_refused = sys.maxsize
    catalogue = await session.dead_letters()
    for letter in letters_of(catalogue, sorted(which.ids)):
        if not letter.is_open:
            output.line(f"{letter.id} is already {letter.state}")
    letters = catalogue.open(which)
    if not letters:
        output.nothing("no matching dead letter is open")
        return 0
    legible = await read_legible(catalogue, letters, topic)
    output.plan(letters, legible, display)
    if dry_run:
        output.nothing("nothing was written: it was a dry run")
        return 0
    await session.keep_off_while_paused()
    if not agreed("Redrive them?", yes=yes):
        output.nothing("nothing was written")
        return 0
    redriving = Redriving(session.resolution_writer(), session.report, session.run.id, session.clock)
    await redriving.unreadable(legible.unreadable)
    if legible.letters:
        await _write(session, display, legible, redriving)
    output.resolved(session.run, redriving)
    return 1 if redriving.still_dead else 0


async def _write(session: RunSession, display: Display, legible: Legible, redriving: Redriving) -> None:
    selection = Selection(
        contacts=frozenset(legible.letters),
        places=legible.places,
        set_aside=frozenset(event.place for event in legible.events),
    )
    session.run.store.add(legible.events, {})
    with display.progress("read") as shown:
        projections = await session.projections(selection, shown)
    async with session.access(projections) as access:
        with display.progress("contacts") as shown:
            for number, together in enumerate(calls_of(sorted(legible.letters), CONTACTS_AT_ONCE)):
                await access.write(projections.moved.together(together))
                for key in together:
                    await redriving.written(legible.letters[key], suppressed=access.suppressions.contains(key))
                shown(number * CONTACTS_AT_ONCE + len(together), len(legible.letters))


class Output:
    """The output of the command: text lines during the work, or with *as_json* one JSON object at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._plan: Mapping[str, Any] | None = None

    def line(self, words: str) -> None:
        """Print a line of text, unless the output is JSON."""
        if not self._as_json:
            print(words)

    def plan(self, letters: Sequence[Letter], legible: Legible, display: Display) -> None:
        """Show the plan."""
        reasons = Counter(letter.reason for letter in letters)
        self._plan = {
            "dead_letters": len(letters),
            "contacts": len(legible.letters),
            "reasons": dict(sorted(reasons.items())),
            "unreadable_total": len(legible.unreadable),
            "unreadable": [
                {"id": letter.id, "reason": error.reason, "detail": shortened(error.detail, LONGEST_KEPT)}
                for letter, error in legible.unreadable[:MOST_LISTED]
            ],
        }
        display.tell(plan=self._plan)
        for reason, number in sorted(reasons.items()):
            self.line(f"{number:>8,}  {reason}")
        self.line(f"{len(letters):,} dead letters of {len(legible.letters):,} contacts")
        if legible.unreadable:
            self.line(f"{len(legible.unreadable):,} of them still can't be read or mapped")

    def nothing(self, words: str) -> None:
        """Print the reason why nothing was written."""
        print(json.dumps({"plan": self._plan, "redriven": 0, "still_dead": 0}, indent=2) if self._as_json else words)

    def resolved(self, run: Run, redriving: Redriving) -> None:
        """Print how many were redriven and how many are still dead."""
        self.line(f"{redriving.redriven:,} redriven, {redriving.still_dead:,} still dead: see `dead-letters list`")
        if self._as_json:
            report = {
                "run": run.id,
                "plan": self._plan,
                "redriven": redriving.redriven,
                "still_dead": redriving.still_dead,
                "letters_total": len(redriving.resolved),
                "letters": sorted(redriving.resolved, key=lambda letter: letter["state"] == "redriven")[:MOST_LISTED],
            }
            print(json.dumps(report, indent=2))
