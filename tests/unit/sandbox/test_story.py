"""The demo's story: each step is told once, when it is seen, and with what was seen."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sandbox.day.dead_letters import SetAside
from sandbox.day.story import Seen, Story
from sandbox.day.traffic import Day

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LETTER = SetAside("id", "invalid_envelope", "payload.earned_at: Field required", "nova_earned", b"ada@example.com")
QUIET = Seen(at_s=1.0, committed=100, arrived=90, halted=False, dead_letters=())


@pytest.fixture
def story() -> Story:
    poisoned = next(happening for happening in Day(200, 1, NOW).happenings() if happening.poisoned)
    return Story(poisoned, outage_s=5)


def told(story: Story, seen: Seen) -> str:
    return " ".join(story.tell(seen))


def test_a_day_without_trouble_has_no_story(story: Story) -> None:
    assert told(story, QUIET) == ""


def test_the_poisoned_event_is_told_once_with_its_reason(story: Story) -> None:
    seen = replace(QUIET, dead_letters=[LETTER])

    assert "invalid_envelope: payload.earned_at: Field required" in told(story, seen)
    assert told(story, seen) == ""


def test_an_outage_is_told_from_its_begin_until_all_that_waited_has_arrived(story: Story) -> None:
    assert "503 to every call, for 5 s" in story.begin_outage(8.0)
    assert told(story, replace(QUIET, at_s=8.5)) == ""
    assert "stopped sending" in told(story, replace(QUIET, at_s=9.0, halted=True))
    assert told(story, replace(QUIET, at_s=10.0, halted=True)) == ""
    assert "1,200 events have waited" in told(
        story, replace(QUIET, at_s=13.0, committed=1_300, arrived=100, halted=True)
    )
    assert told(story, replace(QUIET, at_s=14.0, committed=1_500, arrived=1_299)) == ""
    assert "4 s after HubSpot was back" in told(story, replace(QUIET, at_s=17.0, committed=1_900, arrived=1_300))
    assert told(story, replace(QUIET, at_s=18.0, committed=1_900, arrived=1_900)) == ""


def test_a_pause_outside_of_the_outage_is_no_part_of_the_story(story: Story) -> None:
    assert told(story, replace(QUIET, halted=True)) == ""
