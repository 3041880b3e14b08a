"""The filters of a contact's events: what they take, how far they look, and what they count."""

import pytest

from console.contacts.filters import Filter, StateGroup
from console.contacts.history import History
from console.contacts.outbox import Parked
from console.contacts.traced import Hole, State, TracedEvent
from schemas.contacts import ContactKey
from tests.kafka.kafka_records import BEGAN
from tests.samples import EMAIL


def event(sequence: int, state: State = "delivered", event_type: str = "nova_earned") -> TracedEvent:
    return TracedEvent(event_type, f"id-{sequence}", sequence, state, BEGAN)


def history(*items: TracedEvent | Hole, before: int | None = None) -> History:
    return History(ContactKey(EMAIL), items, before=before)


def taken(wanted: Filter, found: History) -> list[int | None]:
    return [each.first if isinstance(each, Hole) else each.sequence for each in wanted.of(found).items]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), [1, 2, 3, 4]),
        (Filter("nova_redeemed"), [2]),
        (Filter("", "missing"), [3]),
        (Filter("", "waiting"), [4]),
        (Filter("nova_redeemed", "waiting"), []),
    ],
)
def test_a_filter_takes_the_events_of_its_type_and_of_its_group_of_state(wanted: Filter, numbers: list[int]) -> None:
    found = history(event(1), event(2, event_type="nova_redeemed"), Hole(3, 3), event(4, "outbox"))

    assert taken(wanted, found) == numbers


@pytest.mark.parametrize(
    ("state", "group"),
    [("redriven", "delivered"), ("unknown", "waiting"), ("discarded", "not_sent"), ("acked", "no_receipt")],
)
def test_states_that_people_look_for_together_are_of_one_kind(state: State, group: StateGroup) -> None:
    assert taken(Filter("", group), history(event(1, state), event(2, "dead_letter"))) == [1]


def test_a_parked_event_waits() -> None:
    parked = Parked("id", "nova_earned", BEGAN, BEGAN)

    assert Filter("nova_earned", "waiting").takes(parked)
    assert not Filter("nova_redeemed").takes(parked)


def test_what_is_taken_comes_in_pages_whose_bound_is_the_oldest_of_it() -> None:
    found = history(*[event(number) for number in range(101, 201)], before=101)
    wanted = Filter("nova_earned")

    first = wanted.of(found)
    assert (taken(wanted, found)[0], first.before) == (151, 151)

    nothing = Filter("nova_redeemed").of(found)
    assert (nothing.items, nothing.before) == ([], 101), "what is before the events that were looked through remains"


def test_what_retention_has_deleted_is_not_missing() -> None:
    found = history(Hole(1, 7, before_all=True), event(8))

    assert taken(Filter(), found) == [1, 8]
    assert taken(Filter("", "missing"), found) == []
    assert Filter().of(found).groups == {"delivered": 1}


def test_what_is_not_taken_is_counted_too() -> None:
    shown = Filter("nova_redeemed").of(history(event(1), Hole(2, 2), event(3)))

    assert (shown.types, shown.groups, shown.whole) == ({"nova_earned": 2}, {"delivered": 2, "missing": 1}, True)
    assert not Filter().of(history(event(9), before=9)).whole
