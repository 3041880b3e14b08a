"""The headers of a dead letter: the record's own, and why and where it was set aside."""

from dataclasses import replace
from datetime import UTC, datetime

from schemas.dead_letters import DeadLetter

LETTER = DeadLetter(
    "invalid_envelope", "payload: über", "lifecycle.nova_earned", 3, 42, 2, datetime(2026, 11, 24, tzinfo=UTC)
)
OWN = [
    ("dead_letter.reason", b"invalid_envelope"),
    ("dead_letter.detail", "payload: über".encode()),
    ("dead_letter.topic", b"lifecycle.nova_earned"),
    ("dead_letter.partition", b"3"),
    ("dead_letter.offset", b"42"),
    ("dead_letter.attempts", b"2"),
    ("dead_letter.failed_at", b"2026-11-24T00:00:00Z"),
]


def test_the_records_headers_come_first_and_unchanged() -> None:
    original = [("id", b"1"), ("trace", b"\xff"), ("id", b"2")]

    assert LETTER.headers(original) == original + OWN


def test_words_that_nobody_can_encode_keep_no_event_from_being_set_aside() -> None:
    headers = dict(replace(LETTER, detail="400: \ud800\0").headers([]))

    assert headers["dead_letter.detail"] == b"400: ?\0"


def test_the_reasons_of_an_earlier_life_as_a_dead_letter_are_replaced() -> None:
    earlier = [("id", b"1"), ("dead_letter.reason", b"too_large"), ("dead_letter.redriven", b"1")]

    assert LETTER.headers(earlier) == [("id", b"1"), *OWN]
