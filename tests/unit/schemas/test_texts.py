"""Texts of foreign origin: what can't be encoded is replaced, and what is kept has a length."""

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.dead_letters.resolutions import Discarded
from hubspot_consumer.gates.pause import Pause, read_pause
from schemas.texts import LONGEST_KEPT, encodable, printable, read_json
from tests.kafka.dead_letters import AT
from tests.unit.hubspot_consumer.gates.test_pause import said

# Surrogates too.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_of_any_texts_can_be_encoded_and_is_else_as_it_was(document: Any) -> None:
    read = read_json(json.dumps(document).encode())
    told = json.dumps(document, ensure_ascii=False)

    assert json.dumps(read, ensure_ascii=False).encode()
    if told == encodable(told):
        assert read == document


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_any_of_its_encodings(encoding: str) -> None:
    assert read_json('{"a": "\\ud800\\ud83d\\ude00"}'.encode(encoding)) == {"a": "?\U0001f600"}


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000, b"9" * 5_000])
def test_what_is_no_json_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which of its kinds does not matter
        read_json(value)


def test_a_mark_at_the_beginning_is_no_part_of_the_json() -> None:
    assert read_json(codecs.BOM_UTF8 + b"[1]") == [1]


def test_words_that_are_kept_are_encodable_cut_and_without_emails() -> None:
    words = "\udcff" + "x" * (LONGEST_KEPT - 10) + " ada.lovelace@example.com"
    kept = [Pause(at=AT, by=words, note=words).note, Discarded(at=AT, note=words).note]

    for note in kept:
        assert note.encode().startswith(b"?x")
        assert LONGEST_KEPT - 20 < len(note) <= LONGEST_KEPT
        assert "ada" not in note
    paused = read_pause(said(json.dumps({"at": AT.isoformat(), "note": "x" * 900_000}).encode()))
    assert paused is not None
    assert len(paused.note) == LONGEST_KEPT


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("HubSpot says no: é, 語, 😀", "HubSpot says no: é, 語, 😀"),
        ("a\r\nb\tc\u2028d\u00a0e", "a  b c d e"),
        ("\x1b[31mred\x07\x00\x7f\x9b", "?[31mred????"),
        ("\u202eevil\u200b\ufeff\ud800", "?evil???"),
    ],
)
def test_words_are_one_line_without_anything_that_a_terminal_would_act_on(text: str, line: str) -> None:
    assert printable(text) == line
    assert printable(line) == line
