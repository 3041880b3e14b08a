"""What a correction changes, told field by field."""

from typing import Any

import pytest

from console.dead_letters.difference import Difference, differences_in, differences_of
from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.resolutions import Mended, Redriven, Resolutions
from tests.kafka.dead_letters import AT, AT_MS, headers, letter, resolution_as_read
from tests.samples import PAYLOADS, envelope, value

EARNED = {name: each for name, each in PAYLOADS["nova_earned"].items() if name != "earned_at"}
LACKING = value(envelope(payload={**EARNED, "amount_cents": "500", "earnd_at": "2026-11-24T03:00:00Z"}))
VALUES = {"amount_cents": 500, "session_id": "ses_1", "earned_at": "2026-11-24T03:00:00Z"}
MEND = Correction(values=VALUES, unset=("earnd_at",), note="so")
DIFFERENCES = [
    Difference("amount_cents", "changed", '"500"', "500"),
    Difference("earnd_at", "left out", '"2026-11-24T03:00:00Z"', None),
    Difference("earned_at", "added", None, '"2026-11-24T03:00:00Z"'),
]


@pytest.mark.parametrize(
    "resolution",
    [
        Mended(at=AT, mend=MEND, reason="invalid_envelope", detail="", failed_at=AT),
        Redriven(at=AT, mend=MEND),
    ],
)
def test_a_text_that_becomes_a_number_differs_and_what_stays_is_left_out(resolution: Any) -> None:
    resolutions = Resolutions()
    resolutions.take_in(resolution_as_read("0-0", resolution, 0, AT_MS))

    assert differences_of(letter(resolutions, value=LACKING), LACKING) == DIFFERENCES


def test_of_an_open_one_it_is_what_the_event_suggests_and_of_one_that_suggests_nothing_none() -> None:
    assert differences_of(letter(headers=headers(reason="invalid_envelope")), LACKING) == DIFFERENCES[1:]
    assert differences_of(letter(), value(envelope())) == []
    assert differences_of(letter(), b"\xffno JSON") == []
    assert differences_of(letter(), None) == []


def test_a_report_of_the_command_tells_the_same() -> None:
    changes = {"values": MEND.values, "unset": list(MEND.unset)}
    was = {"earnd_at": '"2026-11-24T03:00:00Z"', "amount_cents": '"500"', "session_id": '"ses_1"'}

    assert sorted(differences_in({"was": was, "changes": changes})) == sorted(DIFFERENCES)
    assert differences_in({"changes": changes}) == []
    assert differences_in(None) == []
