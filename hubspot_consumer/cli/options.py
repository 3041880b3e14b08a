"""The options that the commands of reprocessing share, and how they are read."""

import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hubspot_consumer.holds.records import MOST_QUOTA_SHARE
from hubspot_consumer.reprocessing.run import FOLDER, AlreadyRunning, NoFolder, Run, UnfinishedRun
from hubspot_consumer.settings import Settings
from runtime.commands import refuse
from schemas.contacts import ContactKey, contact_key
from schemas.events import EVENT_TYPES
from schemas.texts import LONGEST_KEPT
from schemas.times import in_utc

_AGE: Final = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
# No event is older.
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
Folder = Annotated[
    Path, typer.Option(help="Folder for the events that it reads, from which it can continue, and for its report.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
FOLDER_DEFAULT: Final = Path(FOLDER)


def open_run(folder: Path, name: str, asked: dict[str, Any], *, fresh: bool) -> Run:
    """Begin a run, or go on with it; exit with 2 where that can't be."""
    try:
        return Run.open(folder, name, asked, datetime.now(UTC), fresh=fresh)
    except (UnfinishedRun, NoFolder, AlreadyRunning) as error:
        refuse(str(error))


def ago(text: str, now: datetime) -> datetime | None:
    """Return the time that was an age before *now*: 90m, 24h, 7d; None if *text* is no age."""
    age = _AGE.fullmatch(text)
    if age is None:
        return None
    try:
        return max(_EPOCH, now - timedelta(**{_UNITS[age[2]]: int(age[1])}))
    except OverflowError:
        return _EPOCH


def moment(option: str, text: str, now: datetime) -> datetime:
    """Return the time that *text* says: ISO 8601, in UTC unless it says otherwise, or an age: 90m, 24h, 7d."""
    if (then := ago(text, now)) is not None:
        return then
    try:
        said = datetime.fromisoformat(text)
        # Kafka finds no record by a time before 1970.
        return max(_EPOCH, in_utc(said if said.tzinfo else said.replace(tzinfo=UTC)))
    except ValueError:
        refuse(
            f"{option}: {text!r} is not a time: give 2026-11-24T03:00:00Z, 2026-11-24, or an age such as 90m, 24h, 7d"
        )


def known_types(types: list[str] | None) -> list[str]:
    """Return *types*, each of which must be an event type."""
    if unknown := [name for name in types or () if name not in EVENT_TYPES]:
        refuse(f"--event-type: no such type: {', '.join(unknown)}; there are {', '.join(EVENT_TYPES)}")
    return types or []


def contact(option: str, email: str) -> ContactKey:
    """Return the contact key of an email that somebody typed."""
    try:
        return contact_key(email)
    except ValueError as error:
        refuse(f"{option}: {error}")


def note(option: str, text: str, why: str) -> str:
    """Return what somebody typed to be kept for ever: not empty, and not longer than what is kept."""
    if not text.strip():
        refuse(f"{option}: {why}")
    if len(text) > LONGEST_KEPT:
        refuse(f"{option} should have at most {LONGEST_KEPT:,} characters")
    return text.strip()


def can_write(settings: Settings, *, dry_run: bool) -> None:
    """Exit with 2 where the settings let nothing be read, or be written."""
    if not settings.kafka_bootstrap_servers:
        refuse("KAFKA_BOOTSTRAP_SERVERS is not set: host:port,host:port")
    if not dry_run and settings.mode != "live":
        refuse(
            "HUBSPOT_SEND_LIVE is not true, so nothing may be written: set HUBSPOT_ENABLED=true and "
            "HUBSPOT_SEND_LIVE=true, or say --dry-run to see what would be"
        )


def can_ask(*, yes: bool) -> None:
    """Exit with 2 where nobody is at a terminal to be asked, and --yes was not said: before anything is read."""
    if not (yes or sys.stdin.isatty()):
        refuse("there is no terminal to ask at: pass --yes, or --dry-run to see what would be done")


def agreed(question: str, *, yes: bool) -> bool:
    """Ask the person at the terminal, who may press Ctrl-C: nothing was begun yet."""
    if yes:
        return True
    # The loop's own handler would be heard after the answer.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question, err=True)
    finally:
        signal.signal(signal.SIGINT, handler)
