"""Hostile texts: they are masked and cleaned in a moment, however long they are."""

import time

import pytest
from pydantic import TypeAdapter

from schemas.contacts import shortened, without_emails
from schemas.texts import LONGEST_KEPT, Words
from tests.hostile.inputs import Input, inputs_of, text

WORDS: TypeAdapter[str] = TypeAdapter(Words)
MOST_S = 1.0


@pytest.mark.parametrize("hostile", inputs_of("text"), ids=str)
def test_a_text_is_masked_and_kept_without_delay(hostile: Input) -> None:
    given = text(hostile["text"])
    began = time.thread_time()

    masked, kept = without_emails(given), WORDS.validate_python(given)
    shown = shortened(given, LONGEST_KEPT)

    assert time.thread_time() - began < MOST_S
    assert len(kept) <= LONGEST_KEPT
    assert kept.isprintable()
    assert kept.encode()
    assert (masked == given) is (hostile.outcome != "masked")
    for each in (masked, kept, shown):
        assert "ecret" not in each
