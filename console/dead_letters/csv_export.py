"""Dead letters as CSV, a chunk at a time: however many there are, they need no memory."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from typing import Final

from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.remedies import remedy
from schemas.contacts import contact_hash, masked, shortened
from schemas.texts import LONGEST_KEPT, printable
from schemas.times import utc_milliseconds

# The names are those of `dead-letters list --json`.
COLUMNS: Final = (
    "id",
    "state",
    "reason",
    "detail",
    "do",
    "type",
    "contact",
    "contact_hash",
    "event_id",
    "sequence",
    "set_aside_at",
    "failed_at",
    "attempts",
    "topic",
    "partition",
    "offset",
    "note",
)
LINES_AT_ONCE: Final = 500
# A spreadsheet takes a text that begins with one of these, or with its full-width form, for a formula.
_FORMULAS: Final = (*"=+-@|%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def lines(letters: Iterable[Letter], *, reveal: bool) -> Iterator[bytes]:
    """Yield the lines of *letters*, some at a time, after the columns' names. Emails are masked unless *reveal*."""
    yield _encoded([COLUMNS])
    rest = iter(letters)
    while some := list(islice(rest, LINES_AT_ONCE)):
        yield _encoded(_row(letter, reveal=reveal) for letter in some)


def _encoded(rows: Iterable[Iterable[object]]) -> bytes:
    # With a quote around each field, a spreadsheet that takes semicolons for separators begins no cell within a text.
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode(errors="replace")


def _row(letter: Letter, *, reveal: bool) -> list[object]:
    contact, place = letter.contact, letter.newest.place
    detail, note = (each if reveal else shortened(each, LONGEST_KEPT) for each in (letter.detail, letter.note))
    return [
        letter.id,
        letter.state,
        *map(_text, (letter.reason, detail, _do(letter))),
        _text(letter.event_type),
        _text((contact if reveal else masked(contact)) if contact is not None else ""),
        contact_hash(contact) if contact is not None else "",
        _text(letter.event_id),
        letter.sequence,
        utc_milliseconds(letter.records[0].failed_at),
        utc_milliseconds(letter.failed_at),
        letter.attempts,
        *((_text(place[0]), *place[1:]) if place is not None else ("", "", "")),
        _text(note),
    ]


def _do(letter: Letter) -> str:
    if letter.state == "mended":
        return "redrive it: its correction is saved"
    return remedy(letter.reason, letter.detail) if letter.is_open else ""


def _text(text: str) -> str:
    """Return *text* as one line that no spreadsheet calculates."""
    line = printable(text)
    return f"'{line}" if line.lstrip().startswith(_FORMULAS) else line
