"""Hostile texts: they are masked and cleaned in a moment, however long they are."""

import time

import pytest
from pydantic import TypeAdapter

from schemas.contacts import shortened, without_emails
from schemas.texts import LONGEST_KEPT, Words
from tests.hostile.inputs import Input, inputs_of, text

WORDS: TypeAdapter[str] = TypeAdapter(Words)
# A megabyte of the shortest emails: no text of that length has more to mask.
MOST_EMAILS = "a@b " * 250_000


@pytest.fixture(scope="module")
def most_s() -> float:
    """Return twice the time that a text full of emails takes here: on an idle core, a third of a second."""
    took = []
    for _ in range(3):
        began = time.thread_time()
        without_emails(MOST_EMAILS)
        took.append(time.thread_time() - began)
    return 2 * max(took)


@pytest.mark.parametrize("hostile", inputs_of("text"), ids=str)
def test_a_text_is_masked_and_kept_without_delay(hostile: Input, most_s: float) -> None:
    given = text(hostile["text"])
    assert len(given) <= 2 * len(MOST_EMAILS)
    began = time.thread_time()

    masked, kept = without_emails(given), WORDS.validate_python(given)
    shown = shortened(given, LONGEST_KEPT)

    assert time.thread_time() - began < most_s
    assert len(kept) <= LONGEST_KEPT
    assert kept.isprintable()
    assert kept.encode()
    assert (masked == given) is (hostile.outcome != "masked")
    for each in (masked, kept, shown):
        assert "ecret" not in each
