"""What is shown of dead letters: no whole email, nothing that a terminal obeys, everything else."""

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.cli.dead_letters.show import MOST_ROWS, as_json, in_full, table
from hubspot_consumer.dead_letters.remedies import REMEDIES, remedy
from hubspot_consumer.hubspot.outcomes import Rejection
from schemas.envelope import Unreadable
from tests.kafka.dead_letters import as_read, headers, letter, letters

EMAIL = "ada@example.com"


def shown(*, reveal: bool = False, **record: Any) -> str:
    """Return what `show` says of a dead letter."""
    made = {"headers": headers(), **record}
    return "\n".join(in_full(letter(**made), as_read(**made), reveal=reveal))


@pytest.mark.parametrize(
    "value",
    [
        b'{"contact": {"email": "ada@example.com"}}',
        b'{"contact": {"email": "\\u0061da\\u0040example.com"}}',
        b'{"ada@example.com": ["of ada@example.com", {"a": "<ada@example.com>"}]}',
        b'"ada@example.com"',
        b"no JSON, but ada@example.com",
        b'{"cut": "ada@example.com',
        b"[" * 100_000 + b'"ada@example.com"',
    ],
    ids=["plain", "escaped", "everywhere", "a string", "no JSON", "half of it", "too deep"],
)
def test_an_email_in_a_value_is_masked_however_it_is_written(value: bytes) -> None:
    assert EMAIL not in shown(value=value)
    assert "a***@example.com" in shown(value=value) or value.startswith(b"[")


def test_an_email_anywhere_else_is_masked_too_unless_it_is_to_be_revealed() -> None:
    marks = [*headers(detail=f"400: {EMAIL}"), ("note", EMAIL.encode()), (f"{EMAIL}", b"1")]

    assert EMAIL not in shown(headers=marks, key=EMAIL.encode())
    assert EMAIL not in json.dumps(as_json(letter(headers=marks, key=EMAIL.encode())))
    assert shown(headers=marks, key=EMAIL.encode(), value=f'["{EMAIL}"]'.encode(), reveal=True).count(EMAIL) == 6


def test_a_json_value_is_printed_prettily_with_its_letters_as_they_are() -> None:
    assert '    {\n      "name": "Café"\n    }' in shown(value='{"name":"Café"}'.encode())


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"value": None}, "none: it did not fit beside the headers"),
        ({"value": b"\xff\xfe"}, "2 bytes that are not text"),
        ({"key": b"\xff"}, "1 bytes that are not text"),
        ({"key": None}, "contact    -"),
        ({"key": b"usr_42"}, "contact    usr_42"),
        ({"headers": [("id", None)]}, "event      -, of type -, sequence -"),
        ({"headers": ()}, "not a record of an event topic"),
    ],
)
def test_what_is_missing_or_no_text_is_said(record: dict[str, Any], words: str) -> None:
    assert words in shown(**record)


def test_a_long_value_is_cut_and_says_so() -> None:
    assert "… 5,000 more characters: `export` has them" in shown(value=b"x" * 25_000)


ANYTHING = st.text(max_size=30).map(str.encode) | st.binary(max_size=30)


@given(ANYTHING, ANYTHING, st.lists(st.tuples(st.text(max_size=10), ANYTHING | st.none()), max_size=5))
def test_nothing_that_a_terminal_obeys_is_shown(key: bytes, value: bytes, own: Any) -> None:
    marks = [*headers(), *own, ("dead_letter.detail", key), ("type", value)]

    for reveal in (False, True):
        lines = in_full(letter(key=key, headers=marks), as_read(key=key, value=value, headers=marks), reveal=reveal)
        assert all(line.isprintable() for line in lines)


def test_the_table_is_read_as_text_and_not_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table([letter(headers=headers(reason="[bold]x[/bold]\x1b[2J\n"))])

    assert "[bold]x[/bold]\\x1b[2J\\n" in capsys.readouterr().out


def test_a_long_table_shows_the_newest_and_counts_all(capsys: pytest.CaptureFixture[str]) -> None:
    reasons: Sequence[str] = ["too_large"] * 2 + ["missing_key"] * MOST_ROWS

    table(letters(as_read(number, headers=headers(str(number), reason=each)) for number, each in enumerate(reasons)))

    first, _, oldest, *_, most, fewest = capsys.readouterr().out.splitlines()
    assert first == "the newest 1,000 of 1,002; --json prints all"
    assert oldest.split()[0] == "0-2"
    assert (most.split(), fewest.split()) == (["1,000", "missing_key"], ["2", "too_large"])


def test_a_contact_that_hubspot_deleted_by_law_is_to_be_suppressed_and_a_mistyped_one_is_not() -> None:
    assert "`suppress` the contact" in remedy("rejected_by_hubspot", "400: email has been GDPR blacklisted")
    assert remedy("rejected_by_hubspot", "400: invalid email") == REMEDIES["rejected_by_hubspot"]


def test_each_reason_has_its_remedy_and_one_of_a_newer_version_says_so() -> None:
    known = {*get_args(Unreadable), *get_args(Rejection), "too_large", "suppressed"}

    assert set(REMEDIES) == known
    assert remedy("sold").startswith("this version does not know the reason")
