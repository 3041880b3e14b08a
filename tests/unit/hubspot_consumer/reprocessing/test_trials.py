"""Trials: of several dead letters of one contact, only the guilty ones stay dead."""

from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.history.projection import Projection, Projector, Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.reprocessing.projections import Trials
from schemas.contacts import ContactKey
from tests.samples import EMAIL, envelope, value

ADA = ContactKey(EMAIL)


def events(number: int) -> list[Stored]:
    return [
        Stored(EMAIL, sequence, "lifecycle.nova_earned", 0, sequence, sequence, value(envelope(sequence=sequence)))
        for sequence in range(1, number + 1)
    ]


@given(number=st.integers(1, 8), data=st.data())
def test_exactly_the_guilty_ones_are_blamed_and_the_last_write_holds_all_others(
    number: int, data: st.DataObject
) -> None:
    history = events(number)
    dead = data.draw(st.sets(st.sampled_from(history)))
    guilty = data.draw(st.sets(st.sampled_from(sorted(dead)))) if dead else set()
    projector = Projector(Selection(set_aside=frozenset(event.place for event in dead)), {})
    trials, blamed, written = Trials(), set[Stored](), list[Projection]()

    for _ in range(3 * number + 3):
        projection = projector.project(ADA, history, without=trials.without(ADA))
        if any(event in guilty for event, _ in projection.events):
            culprit, again = trials.failed(projection)
            blamed |= {culprit[0]} if culprit else set()
        else:
            written.append(projection)
            again = trials.passed(projection)
        if not again:
            break
    else:
        raise AssertionError("it never ends")

    assert blamed == guilty
    assert [event for event, _ in written[-1].events] == [event for event in history if event not in guilty]


def test_where_no_dead_letter_is_to_blame_the_contact_is() -> None:
    projection = Projector(Selection(), {}).project(ADA, events(3))

    assert Trials().failed(projection) == (None, False)
