"""Dead letters as CSV: what a spreadsheet makes of them, who sees emails, and how much memory they take."""

import csv
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest

from console.dead_letters.csv_export import COLUMNS, LINES_AT_ONCE, lines
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolutions import Discarded, Resolutions
from schemas.contacts import contact_hash, contact_key
from tests.kafka.dead_letters import AT, AT_MS, as_read, headers, letter, letters, resolution_as_read


def rows(*some: Letter, reveal: bool = False) -> list[dict[str, str]]:
    text = b"".join(lines(some, reveal=reveal)).decode()
    return list(csv.DictReader(StringIO(text, newline="")))


def test_a_dead_letter_is_a_line_with_what_people_need_to_act() -> None:
    resolutions = Resolutions()
    resolutions.take_in(resolution_as_read("0-0", Discarded(at=AT, note="asked, twice"), 0, AT_MS))
    [row] = rows(letter(resolutions, headers=headers("7", failed_at=AT + timedelta(milliseconds=1500))))

    assert tuple(row) == COLUMNS
    assert row == {
        "id": "0-0",
        "state": "discarded",
        "reason": "rejected_by_hubspot",
        "detail": "400: a***@example.com is invalid",
        "do": "",
        "type": "nova_earned",
        "contact": "a***@example.com",
        "contact_hash": contact_hash(contact_key("ada@example.com")),
        "event_id": "7",
        "sequence": "12",
        "set_aside_at": "2024-11-24T03:00:01.500Z",
        "failed_at": "2024-11-24T03:00:01.500Z",
        "attempts": "1",
        "topic": "lifecycle.nova_earned",
        "partition": "3",
        "offset": "42",
        "note": "asked, twice",
    }


def test_emails_are_whole_for_who_may_see_them() -> None:
    [row] = rows(letter(), reveal=True)

    assert (row["contact"], row["detail"]) == ("ada@example.com", "400: ada@example.com is invalid")
    assert "provision" in row["do"]


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1", "-1", "@SUM(A1)", "|calc", "%0A", " \t=1", "\r\n=1", "\uff1d1", "=cmd|' /C calc'!A0"]
)
def test_no_text_of_a_record_is_calculated(formula: str) -> None:
    hostile = headers(formula, reason=formula, detail=formula, event_type=formula)
    [row] = rows(letter(key=f"{formula.strip()}@example.com".encode(), headers=hostile), reveal=True)

    texts = [row[name] for name in ("reason", "detail", "type", "event_id", "topic")]
    assert all(text.startswith(("'", "lifecycle.")) for text in texts if text)
    assert row["contact"].startswith("'") or not row["contact"]
    assert row["detail"].lstrip("' ").startswith(formula.strip())


def test_each_field_has_quotes_so_that_no_other_separator_begins_a_cell() -> None:
    [line] = b"".join(lines([letter(headers=headers(detail="odd;=HYPERLINK(0)"))], reveal=True)).splitlines()[1:]

    assert line.startswith(b'"0-0","dead","')
    assert b',"odd;=HYPERLINK(0)","' in line
    assert line.count(b'","') == len(COLUMNS) - 1


def test_a_record_that_is_no_event_has_empty_fields_and_one_line() -> None:
    [row] = rows(letter(key=b"\xff", headers=[("dead_letter.detail", b'a "word",\r\nand \x00 more')]))

    assert row["detail"] == 'a "word",  and ? more'
    assert [row[name] for name in ("contact", "contact_hash", "sequence", "topic", "partition", "offset")] == [""] * 6


def test_a_hundred_thousand_need_no_more_memory_than_a_chunk() -> None:
    one = letters([as_read(0, headers=headers())])[0]

    def many() -> Iterator[Letter]:
        for _ in range(20 * LINES_AT_ONCE):
            yield one

    tracemalloc.start()
    size = sum(map(len, lines(many(), reveal=False)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size > 2_000_000
    assert most < size / 4
