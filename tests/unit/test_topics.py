"""Topic names: one per event type under a prefix, and one for the dead letters."""

from schemas.events import EVENT_TYPES
from schemas.topics import Topics


def test_each_event_type_has_a_topic_and_the_dead_letters_have_one() -> None:
    topics = Topics()

    assert topics.events == tuple(f"lifecycle.{event_type}" for event_type in EVENT_TYPES)
    assert len(set(topics.events)) == 7
    assert topics.dead_letters == "lifecycle.dead_letters"
    assert set(topics.all) == {*topics.events, topics.dead_letters}


def test_another_prefix_keeps_environments_apart() -> None:
    assert Topics("staging.").of("nova_earned") == "staging.nova_earned"
    assert not set(Topics("staging.").all) & set(Topics().all)
