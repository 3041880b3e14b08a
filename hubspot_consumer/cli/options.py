"""The options that several commands share, and the functions that check options and ask questions."""

import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from hubspot_consumer.holds.records import MOST_QUOTA_SHARE
from runtime.commands import refuse
from schemas.contacts import ContactKey, contact_key
from schemas.events import EVENT_TYPES
from schemas.texts import LONGEST_KEPT
from schemas.times import in_utc

_AGE: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
# The earliest time of any event.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

RateShare = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=MOST_QUOTA_SHARE,
        help="The share of the quota that this run uses; the workers use the rest.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: for scripts.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Drop an unfinished run instead of continuing it.")]
Folder = Annotated[Path, typer.Option(help="Folder for what it reads, from which it can continue, and for its report.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def ago(text: str, now: datetime) -> datetime | None:
    """Return *now* minus an age such as 90m, 24h or 7d, at the earliest 1970; None if *text* is no age."""
    age = _AGE.fullmatch(text)
    if age is None:
        return None
    try:
        return max(_EPOCH, now - timedelta(**{_UNITS[age[2]]: int(age[1])}))
    except OverflowError:
        return _EPOCH


def moment(option: str, text: str, now: datetime) -> datetime:
    """Return the time that *text* means: an ISO 8601 time, in UTC without an offset, or an age such as 90m, 24h or 7d.

    Exits with 2 for any other text.
    """
    if (then := ago(text, now)) is not None:
        return then
    try:
        time = datetime.fromisoformat(text)
        # Kafka finds no record by a time before 1970.
        return max(_EPOCH, in_utc(time if time.tzinfo else time.replace(tzinfo=UTC)))
    except ValueError:
        refuse(
            f"{option}: {text!r} is not a time: give 2026-11-24T03:00:00Z, 2026-11-24, or an age such as 90m, 24h, 7d"
        )


def known_types(types: list[str] | None) -> list[str]:
    """Return *types*, or an empty list for None; exit with 2 if one is no event type."""
    if unknown := [name for name in types or () if name not in EVENT_TYPES]:
        refuse(f"--event-type: no such type: {', '.join(unknown)}; there are {', '.join(EVENT_TYPES)}")
    return types or []


def contact(option: str, email: str) -> ContactKey:
    """Return the contact key of an email that a person typed; exit with 2 if it is not valid."""
    try:
        return contact_key(email)
    except ValueError as error:
        refuse(f"{option}: {error}")


def note(option: str, text: str, why: str) -> str:
    """Return a typed text that is kept for ever, stripped; exit with 2 if it is empty or too long."""
    if not text.strip():
        refuse(f"{option}: {why}")
    if len(text) > LONGEST_KEPT:
        refuse(f"{option} should have at most {LONGEST_KEPT:,} characters")
    return text.strip()


def can_ask(*, needed: bool) -> None:
    """Exit with 2 if a question is *needed* and there is no terminal for it; called before the topics are read."""
    if needed and not sys.stdin.isatty():
        refuse("there is no terminal to ask at: pass --yes, or --dry-run to see what would be done")


def agreed(question: str, *, yes: bool) -> bool:
    """Return whether the person at the terminal agrees. Ctrl-C ends the command, because nothing was begun yet."""
    if yes:
        return True
    # The event loop's handler of SIGINT would run only after the answer, so Python's own is used meanwhile.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question, err=True)
    finally:
        signal.signal(signal.SIGINT, handler)
