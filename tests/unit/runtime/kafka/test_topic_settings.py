"""Topics: one per event type under a prefix, and one for the dead letters; what is asked of them."""

import pytest

from runtime.kafka.topic_settings import asked_of
from schemas.events import EVENT_TYPES
from schemas.topics import Topics


def test_each_event_type_has_a_topic_and_the_dead_letters_have_one() -> None:
    topics = Topics()

    assert topics.events == tuple(f"lifecycle.{event_type}" for event_type in EVENT_TYPES)
    assert len(set(topics.events)) == 7
    assert topics.dead_letters == "lifecycle.dead_letters"
    assert set(topics.published) == {*topics.events, topics.dead_letters}


def test_another_prefix_keeps_environments_apart() -> None:
    assert Topics("staging.").of("nova_earned") == "staging.nova_earned"
    assert not set(Topics("staging.").all) & set(Topics().all)


@pytest.mark.parametrize(
    ("replicas", "taken"), [(1, {"1"}), (2, {"1"}), (3, {"2"}), (4, {"2", "3"}), (5, {"2", "3", "4"})]
)
def test_with_copies_to_spare_two_have_an_event_before_it_is_acknowledged_and_one_may_be_lost(
    replicas: int, taken: set[str]
) -> None:
    for name in Topics().all:
        asked = asked_of(name, Topics(), replicas)["min.insync.replicas"]

        assert {str(value) for value in range(1, 7) if asked.takes(str(value))} == taken
        assert asked.takes(asked.value)
