"""The refold: newest values, whatever was selected, and never a sequence that claims more than it writes."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.history.projection import Projector, Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.requests import last_event_ids
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID
from hubspot_consumer.mapping import contact_properties
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from schemas.events import EVENT_TYPES
from tests.samples import EMAIL, PAYLOADS, envelope, value

ADA = ContactKey(EMAIL)
OF = {event_type: f"lifecycle.{event_type}" for event_type in EVENT_TYPES}
FINISHED = {(topic, 0): 10**9 for topic in OF.values()}


def stored(event_type: str, sequence: int, *, offset: int = -1, email: str = EMAIL, **payload: Any) -> Stored:
    made = envelope(event_type, sequence, email, payload={**PAYLOADS[event_type], **payload})
    return Stored(email, sequence, OF[event_type], 0, sequence if offset < 0 else offset, 1000 * sequence, value(made))


EARNED = stored("nova_earned", 1, new_balance_cents=500)
REDEEMED = stored("nova_redeemed", 2, new_balance_cents=400)
EARNED_AGAIN = stored("nova_earned", 3, new_balance_cents=900)


def test_each_property_has_its_newest_value_even_where_that_is_of_an_event_that_was_not_selected() -> None:
    selection = Selection(topics=frozenset([OF["nova_redeemed"]]))

    projection = Projector(selection, FINISHED).project(ADA, [EARNED, REDEEMED, EARNED_AGAIN])

    assert projection.properties["nerava_nova_balance_cents"] == "900"
    assert projection.properties["nerava_last_redemption_at"]
    assert "nerava_total_nova_earned_cents" not in projection.properties
    assert projection.properties["nerava_event_sequence"] == "3"
    assert [envelope.sequence for _, envelope in projection.events] == [2]


def test_what_the_group_has_not_finished_is_folded_in_whatever_was_selected() -> None:
    selection = Selection(topics=frozenset([OF["nova_redeemed"]]))

    projection = Projector(selection, {**FINISHED, (OF["nova_earned"], 0): 3}).project(
        ADA, [EARNED, REDEEMED, EARNED_AGAIN]
    )

    # The worker passes over what the sequence covers: so its values must be there.
    assert projection.properties["nerava_event_sequence"] == "3"
    assert projection.properties["nerava_total_nova_earned_cents"] == "1500"
    assert len(projection.events) == 1


def test_a_contact_without_a_selected_event_is_not_wanted() -> None:
    selection = Selection(topics=frozenset([OF["driver_signed_up"]]))

    assert not Projector(selection, {}).project(ADA, [EARNED, REDEEMED]).wanted


def test_an_event_that_was_read_twice_counts_once() -> None:
    again = EARNED._replace(offset=77)

    projection = Projector(Selection(), FINISHED).project(ADA, [EARNED, again, REDEEMED])

    assert [envelope.sequence for _, envelope in projection.events] == [1, 2]


def test_a_dead_letter_counts_only_where_it_is_selected_and_not_left_out() -> None:
    selection = Selection(
        topics=frozenset([OF["nova_earned"]]), set_aside=frozenset([REDEEMED.place, EARNED_AGAIN.place])
    )
    events = [EARNED, REDEEMED, EARNED_AGAIN]

    projection = Projector(selection, FINISHED).project(ADA, events)
    without = Projector(selection, FINISHED).project(ADA, events, without=[EARNED_AGAIN.place])

    assert (projection.sequence, [envelope.sequence for _, envelope in projection.dead]) == (3, [3])
    assert (without.sequence, without.properties["nerava_nova_balance_cents"]) == (1, "500")


def test_a_copy_of_a_dead_letter_is_dead_too() -> None:
    copy = EARNED_AGAIN._replace(offset=99)
    selection = Selection(set_aside=frozenset([copy.place]))

    projection = Projector(selection, FINISHED).project(ADA, [EARNED, EARNED_AGAIN, copy], without=[EARNED_AGAIN.place])

    assert projection.sequence == 1


def test_what_comes_after_the_beginning_of_the_run_is_folded_in_and_leaves_no_entry() -> None:
    before = {(OF["nova_earned"], 0): 3, (OF["nova_redeemed"], 0): 3}
    selection = Selection(before=before)

    projection = Projector(selection, before).project(ADA, [EARNED, REDEEMED, EARNED_AGAIN])

    assert (projection.sequence, projection.properties["nerava_nova_balance_cents"]) == (3, "900")
    assert [envelope.sequence for _, envelope in projection.events] == [1, 2]


def test_an_unreadable_event_is_counted_and_passed_over() -> None:
    broken = EARNED_AGAIN._replace(value=b"{}")

    projection = Projector(Selection(), FINISHED).project(ADA, [EARNED, broken])

    assert (projection.unreadable, projection.sequence) == (1, 1)


def test_a_contact_that_was_moved_has_the_older_history_under_its_own() -> None:
    older = [stored("merchant_contact_created", 1, email="old@example.com", name="Ada L", phone="1")]
    own = [stored("merchant_contact_updated", 1, phone="2")]

    projection = Projector(Selection(), FINISHED).project(ADA, older, own)

    assert projection.sequences == [1, 1]
    assert projection.properties["phone"] == "2"
    assert projection.properties["firstname"] == "Ada"
    assert projection.properties["nerava_contact_key"] == EMAIL
    assert len(projection.events) == 2


def test_a_new_key_without_events_has_no_sequence_of_the_former_one() -> None:
    """Else workers would pass over as many events of the new key."""
    older = [stored("merchant_contact_created", 1, email="old@example.com")]

    assert Projector(Selection(), FINISHED).project(ADA, older, []).sequences == [1, 0]


HISTORIES = st.lists(st.sampled_from(EVENT_TYPES), min_size=1, max_size=12)


@given(types=HISTORIES, chosen=st.sets(st.sampled_from(EVENT_TYPES)), finished=st.integers(0, 13), data=st.data())
def test_written_over_what_was_applied_a_refold_gives_what_all_events_in_order_give(
    types: list[str], chosen: set[str], finished: int, data: st.DataObject
) -> None:
    events = [stored(event_type, number, offset=number) for number, event_type in enumerate(types, 1)]
    unfinished = {(topic, 0): finished + 1 for topic in OF.values()}
    selection = Selection(topics=frozenset(OF[event_type] for event_type in chosen))
    # The workers have applied what is finished, and maybe more.
    applied = data.draw(st.integers(min(finished, len(events)), len(events)))
    held = _folded(events[:applied])

    projection = Projector(selection, unfinished).project(ADA, events)

    if projection.wanted:
        held |= projection.properties
        assert held == _folded(events)


def _folded(events: list[Stored]) -> dict[str, str]:
    properties: dict[str, str] = {}
    envelopes = [read_envelope(event.key.encode(), event.value) for event in events]
    for one in envelopes:
        properties |= contact_properties(one)
    if envelopes:
        properties[LAST_EVENT_ID] = last_event_ids(ADA, {one.sequence: one.id.int for one in envelopes})
    return properties


def test_a_record_is_read_as_it_was_mended_wherever_it_is_folded() -> None:
    made = envelope("nova_earned", 3, payload={"user_id": "usr_1"})
    poisoned = Stored(EMAIL, 3, OF["nova_earned"], 0, 3, 3000, value(made))
    mend = Correction(values={**PAYLOADS["nova_earned"], "new_balance_cents": 7}, note="it lacked them")

    plain = Projector(Selection(), FINISHED).project(ADA, [EARNED, poisoned])
    projection = Projector(Selection(mends={poisoned.place: mend}), FINISHED).project(ADA, [EARNED, poisoned])

    assert (plain.sequence, plain.unreadable) == (1, 1)
    assert (projection.sequence, projection.unreadable, projection.properties["nerava_nova_balance_cents"]) == (
        3,
        0,
        "7",
    )


AGAIN = stored("nova_earned", 2, offset=7, new_balance_cents=70)._replace(at_ms=9_000)
AGAIN = AGAIN._replace(value=value({**json.loads(AGAIN.value), "id": str(UUID(int=99))}))


@pytest.mark.parametrize("events", [[EARNED, REDEEMED, AGAIN], [EARNED, AGAIN, REDEEMED]])
def test_of_two_events_with_one_sequence_the_one_stored_first_counts_until_the_other_is_redriven(
    events: list[Stored],
) -> None:
    def balance(selection: Selection) -> tuple[str, int]:
        projection = Projector(selection, FINISHED).project(ADA, events)
        return projection.properties["nerava_nova_balance_cents"], len(projection.events)

    dead = frozenset([AGAIN.place])
    assert balance(Selection()) == ("400", 2), "it was taken for a repeat, by a worker of an older version"
    assert balance(Selection(set_aside=dead, reused=dead, dead_letters=False)) == ("400", 2)
    assert balance(Selection(set_aside=dead, reused=dead)) == ("70", 3), "it is redriven"
    assert balance(Selection(reused=dead)) == ("70", 3), "it was redriven"


def test_a_redriven_event_follows_the_events_that_were_stored_before_it_and_the_sequence_stays() -> None:
    projection = Projector(Selection(reused=frozenset([AGAIN.place])), FINISHED).project(
        ADA, [EARNED, REDEEMED, AGAIN, EARNED_AGAIN]
    )

    assert projection.properties["nerava_nova_balance_cents"] == "70"
    assert (projection.sequence, projection.properties["nerava_event_sequence"]) == (3, "3")


def test_where_the_event_that_was_stored_first_was_set_aside_the_other_one_counts() -> None:
    """As when it is read while the other one is in a call."""
    reused = frozenset([REDEEMED.place])

    projection = Projector(Selection(set_aside=reused, reused=reused, dead_letters=False), FINISHED).project(
        ADA, [EARNED, REDEEMED, AGAIN]
    )

    assert projection.properties["nerava_nova_balance_cents"] == "70"


def test_an_event_does_not_take_the_place_of_a_dead_letter_that_has_its_sequence() -> None:
    dead = frozenset([REDEEMED.place])

    projection = Projector(Selection(set_aside=dead, dead_letters=False), FINISHED).project(
        ADA, [EARNED, REDEEMED, AGAIN]
    )

    assert projection.properties["nerava_nova_balance_cents"] == "500"
    assert [envelope.sequence for _, envelope in projection.events] == [1]


def test_an_event_that_was_published_twice_is_one_event() -> None:
    copy = REDEEMED._replace(topic=OF["nova_earned"], offset=8, at_ms=9_000)

    projection = Projector(Selection(), FINISHED).project(ADA, [EARNED, REDEEMED, copy])

    assert [envelope.sequence for _, envelope in projection.events] == [1, 2]
