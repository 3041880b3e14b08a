"""Dead letters as text for people and as JSON for programs; emails are masked unless `reveal` is True."""

import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.remedies import remedy
from schemas.contacts import contact_hash, masked, shortened, without_emails
from schemas.texts import LONGEST_KEPT, read_json

MOST_ROWS: Final = 1_000
MOST_CHARACTERS: Final = 20_000
LONGEST_CELL: Final = 400
# Width of the table in characters when the output is no terminal.
WIDE: Final = 400
_COLUMNS: Final = ("id", "reason", "type", "contact", "sequence", "failed at (UTC)", "attempts", "state")


def table(letters: Sequence[Letter]) -> None:
    """Print the newest of *letters* as a table, and the number of *letters* by reason."""
    if not letters:
        print("no matching dead letters")
        return
    shown = letters[-MOST_ROWS:]
    if len(shown) < len(letters):
        print(f"the newest {len(shown):,} of {len(letters):,}; --json prints all")
    rows = Table(*_COLUMNS, box=None, pad_edge=False)
    for letter in shown:
        rows.add_row(*(Text(text, overflow="fold") for text in _row(letter)))
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    with console.capture() as captured:
        console.print(rows)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")
    print()
    for reason, number in Counter(printable(letter.reason or "(none)") for letter in letters).most_common():
        print(f"{number:>7,}  {reason}")


def as_json(letter: Letter, *, reveal: bool = False) -> dict[str, Any]:
    """Return a dead letter as JSON, without its value."""
    newest, contact = letter.newest, letter.contact
    return {
        "id": letter.id,
        "ids": letter.ids,
        "event_id": letter.event_id,
        "type": letter.event_type,
        "contact": whose(letter, reveal=reveal),
        "contact_hash": contact_hash(contact) if contact else None,
        "sequence": letter.sequence,
        "reason": letter.reason,
        "detail": letter.detail if reveal else shortened(letter.detail, LONGEST_KEPT),
        "topic": newest.topic,
        "partition": newest.topic_partition,
        "offset": newest.topic_offset,
        "attempts": letter.attempts,
        "failed_at": letter.failed_at.isoformat(),
        "set_aside_at": letter.records[0].failed_at.isoformat(),
        "state": letter.state,
        "open": letter.is_open,
        "note": letter.note,
        "mend": letter.mend.model_dump(mode="json") if letter.mend is not None else None,
        "do": _do(letter),
        "run": letter.resolution.run if letter.resolution is not None else "",
    }


def in_full(letter: Letter, record: Any, *, reveal: bool) -> Iterator[str]:
    """Yield lines with everything about a dead letter; *record* is aiokafka's record of its `holder`."""
    place = letter.newest.place
    times = "once" if len(letter.ids) == 1 else f"{len(letter.ids)} times: {', '.join(letter.ids)}"
    attempts = f"{letter.attempts} attempt{'' if letter.attempts == 1 else 's'}"
    fields = {
        "event": f"{letter.event_id or '-'}, of type {letter.event_type or '-'}, sequence {letter.sequence or '-'}",
        "contact": whose(letter, reveal=reveal),
        "state": letter.state + (f": {letter.note}" if letter.note else ""),
        "reason": letter.reason or "-",
        "detail": letter.detail or "-",
        "failed": f"{letter.failed_at:%Y-%m-%d %H:%M:%S} UTC, after {attempts}",
        "was": f"{place[0]}, partition {place[1]}, offset {place[2]}" if place else "not a record of an event topic",
        "set aside": times,
        **({"mend": _changes(letter.mend)} if letter.mend is not None else {}),
        "do": _do(letter),
    }
    yield f"dead letter {letter.id}"
    for name, words in fields.items():
        yield f"  {name:<10} {printable(words if reveal else shortened(words, MOST_CHARACTERS))}"
    yield "  headers"
    for name, value in record.headers:
        name_, text = (_text(each, reveal=reveal)[:MOST_CHARACTERS] for each in (name.encode(), value))
        yield f"    {name_:<26} {text}"
    yield "  value"
    yield from (f"    {line}" for line in _value(record.value, reveal=reveal))


def whose(letter: Letter, *, reveal: bool = False) -> str:
    """Return the key of a dead letter, masked unless *reveal* is True; "-" if it has none."""
    if letter.contact is not None and not reveal:
        return masked(letter.contact)
    return _text(letter.key, reveal=reveal)


def _do(letter: Letter) -> str:
    if letter.state == "mended":
        return f"redrive --id {letter.id}"
    return remedy(letter.reason, letter.detail) if letter.is_open else "nothing"


def _changes(mend: Correction) -> str:
    left_out = [f"payload.{name} left out" for name in mend.unset]
    return "; ".join([*(f"payload.{name} is {value}" for name, value in mend.values.items()), *left_out])


def printable(text: str) -> str:
    """Return *text* with unprintable characters escaped, because they could control the terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _row(letter: Letter) -> list[str]:
    names = (letter.id, letter.reason or "-", letter.event_type or "-", whose(letter))
    numbers = (str(letter.sequence or "-"), f"{letter.failed_at:%Y-%m-%d %H:%M:%S}", str(letter.attempts))
    return [*(printable(shortened(name, LONGEST_CELL)) for name in names), *numbers, letter.state]


def _text(value: bytes | None, *, reveal: bool) -> str:
    if value is None:
        return "-"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        words = f"{len(value):,} bytes that are not text"
        return f"{words}; as base64: {base64.b64encode(value).decode()}" if reveal else words
    return printable(text if reveal else without_emails(text))


def _value(value: bytes | None, *, reveal: bool) -> Iterator[str]:
    if value is None:
        yield "none: it did not fit beside the headers; the original record still has it"
        return
    try:
        document = read_json(value)
        text = json.dumps(document if reveal else _masked(document), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = _text(value, reveal=reveal)
    yield from map(printable, text[:MOST_CHARACTERS].splitlines() or [""])
    if len(text) > MOST_CHARACTERS:
        yield f"… {len(text) - MOST_CHARACTERS:,} more characters: `export` has them"


def _masked(document: Any) -> Any:
    """Return a JSON document with the emails in its strings masked. In the JSON text, escapes could hide them."""
    match document:
        case str():
            return without_emails(document)
        case list():
            return [_masked(each) for each in document]
        case dict():
            return {without_emails(name): _masked(each) for name, each in document.items()}
        case _:
            return document
