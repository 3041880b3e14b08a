"""`python -m hubspot_consumer dead-letters`: list, show, export, correct and discard dead letters."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from hubspot_consumer.cli.dead_letters.export import STANDARD_OUTPUT, Exported, line
from hubspot_consumer.cli.dead_letters.mend import mend
from hubspot_consumer.cli.dead_letters.show import as_json as content_of
from hubspot_consumer.cli.dead_letters.show import in_full, table
from hubspot_consumer.cli.exit_codes import NotDone
from hubspot_consumer.cli.lookup import letters_of, look, resolve
from hubspot_consumer.cli.options import Yes, agreed, can_ask, contact, moment, note
from hubspot_consumer.cli.progress import Display
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.resolutions import Discarded, State
from hubspot_consumer.settings import KafkaSettings
from runtime.commands import read_settings, refuse

STATES: Final[tuple[State, ...]] = get_args(State)

dead_letters = typer.Typer(
    help="Look at events that were set aside, correct and discard them. Needs only the KAFKA_* settings.",
    no_args_is_help=True,
    add_completion=False,
)

dead_letters.command()(mend)

Ids = Annotated[list[str], typer.Argument(help="Ids of `list`, such as 0-17.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only this reason; may be repeated.")]
EventTypes = Annotated[list[str] | None, typer.Option("--event-type", help="Only this event type; may be repeated.")]
Email = Annotated[str, typer.Option("--contact", help="Only the contact with this email.")]
Since = Annotated[
    str, typer.Option(help="Only those set aside since then: 2026-11-24T03:00:00Z, or an age such as 90m, 24h, 7d.")
]
Until = Annotated[str, typer.Option(help="Only those set aside until then.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", help="dead, mended (both open), redriven, discarded, or all; may be repeated."),
]


@dead_letters.command("list")
def list_dead_letters(  # noqa: PLR0913 - the options of the command
    *,
    reason: Reasons = None,
    event_type: EventTypes = None,
    email: Email = "",
    since: Since = "",
    state: States = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
    show_contacts: Annotated[bool, typer.Option("--show-contacts", help="With --json: show whole emails.")] = False,
) -> None:
    """List the dead letters that are open, and count them by reason.

    An event that was set aside twice is listed once. Emails are masked, unless --show-contacts.
    """
    settings = read_settings(KafkaSettings)
    which = _which(reason, event_type, email, since, state)

    async def shown(catalogue: DeadLetterCatalogue) -> None:
        letters = catalogue.open(which)
        if as_json:
            for letter in letters:
                print(json.dumps(content_of(letter, reveal=show_contacts)))
        else:
            table(letters)

    look(settings, shown, "list")


@dead_letters.command()
def show(
    ids: Ids,
    *,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show whole emails, and bytes that are not text.")] = False,
) -> None:
    """Show everything about some dead letters: headers, values, and what to do."""
    settings = read_settings(KafkaSettings)

    async def shown(catalogue: DeadLetterCatalogue) -> None:
        letters = letters_of(catalogue, ids)
        holders = {letter.holder.id: letter for letter in letters}
        found = {one.id: record async for one, record in catalogue.records(letter.holder for letter in letters)}
        for letter_id, letter in holders.items():
            if letter_id in found:
                print(*in_full(letter, found[letter_id], reveal=reveal), "", sep="\n")

    look(settings, shown, "show")


@dead_letters.command()
def export(  # noqa: PLR0913 - the options of the command
    file: Annotated[Path, typer.Argument(help="The file to write; - is standard output.")] = STANDARD_OUTPUT,
    *,
    reason: Reasons = None,
    event_type: EventTypes = None,
    email: Email = "",
    since: Since = "",
    state: States = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write dead letters as JSON lines, with keys, values and headers unchanged, and so with emails.

    Each record is a line. An event that was set aside twice has two lines, and each names both ids. Bytes that are not
    UTF-8 are in base64, in fields such as `key_base64`.
    """
    settings = read_settings(KafkaSettings)
    which = _which(reason, event_type, email, since, state)
    exported = Exported(file, force=force)

    async def written(catalogue: DeadLetterCatalogue) -> None:
        letters = {one.id: letter for letter in catalogue.open(which) for one in letter.records}
        done = 0
        with exported, Display().progress("exported") as shown:
            async for one, record in catalogue.records(
                each for letter in catalogue.open(which) for each in letter.records
            ):
                exported.write(line(letters[one.id], one, record))
                shown(done := done + 1, len(letters))
        print(f"{done:,} records written", file=sys.stderr)

    look(settings, written, "export")


@dead_letters.command()
def discard(  # noqa: PLR0913 - the options of the command
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of `list`, such as 0-17.")] = None,
    *,
    why: Annotated[str, typer.Option(help="Why they must not take effect; kept with them.")],
    reason: Reasons = None,
    event_type: EventTypes = None,
    email: Email = "",
    since: Since = "",
    until: Until = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be discarded.")] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print how many, by reason, instead of the list.")] = False,
) -> None:
    """Close dead letters that must not take effect. Nothing is deleted.

    Name them by ids, or select them by options. Exits with 1 if an id is unknown, or its event was redriven.
    """
    settings = read_settings(KafkaSettings)
    why = note("--why", why, "say why they must not take effect; it is kept with them")
    which = _which(reason, event_type, email, since, None, until)
    if bool(ids) == (which != LetterFilter()):
        refuse("name some: either by ids, or by --reason, --event-type, --contact, --since or --until")
    can_ask(needed=not (yes or dry_run))

    async def discarded(catalogue: DeadLetterCatalogue) -> None:
        letters = _to_discard(catalogue, ids, tell=not as_json) if ids else catalogue.open(which)
        if not as_json:
            table(letters)
        done = bool(letters) and not dry_run and agreed(f"Discard {len(letters):,}?", yes=yes)
        if done:
            await resolve(settings, [(letters, Discarded(at=datetime.now(UTC), note=why))])
        if as_json:
            print(json.dumps({"plan": _counts(letters), "discarded": len(letters) if done else 0}, indent=2))
        elif done:
            print(f"{len(letters):,} discarded")
        else:
            print("nothing was discarded" + (": it was a dry run" if dry_run else ""))

    look(settings, discarded, "discard")


def _counts(letters: Sequence[Letter]) -> dict[str, Any]:
    """Return the counts of a plan, as `redrive` names them."""
    reasons = Counter(letter.reason for letter in letters)
    contacts = {letter.contact for letter in letters} - {None}
    return {"dead_letters": len(letters), "contacts": len(contacts), "reasons": dict(sorted(reasons.items()))}


def _which(  # noqa: PLR0913, PLR0917 - the options of the commands
    reasons: list[str] | None,
    types: list[str] | None,
    email: str,
    since: str,
    states: list[str] | None,
    until: str = "",
) -> LetterFilter:
    if unknown := [state for state in states or () if state not in (*STATES, "all")]:
        refuse(f"--state: no such state: {', '.join(unknown)}; there are {', '.join(STATES)}, and all")
    wanted = frozenset(state for state in STATES if states and (state in states or "all" in states))
    return LetterFilter(
        reasons=frozenset(reasons or ()),
        event_types=frozenset(types or ()),
        contact=contact("--contact", email) if email else None,
        states=wanted or LetterFilter().states,
        since=moment("--since", since, datetime.now(UTC)) if since else None,
        until=moment("--until", until, datetime.now(UTC)) if until else None,
    )


def _to_discard(catalogue: DeadLetterCatalogue, ids: Sequence[str], *, tell: bool) -> list[Letter]:
    letters = letters_of(catalogue, ids)
    if redriven := [letter.id for letter in letters if letter.state == "redriven"]:
        raise NotDone(f"already took effect by a redrive: {', '.join(redriven)}")
    for letter in letters:
        if tell and letter.state == "discarded":
            print(f"{letter.id} is already discarded: {letter.note}")
    return [letter for letter in letters if letter.is_open]
