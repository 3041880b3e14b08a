"""The cache of applied sequences: a contact whose lane opens again is as it was when the lane closed."""

from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.ordering.applied_cache import REMEMBERED_CONTACTS, AppliedCache
from hubspot_consumer.ordering.lane import Lane
from schemas.contacts import ContactKey
from schemas.envelope import LARGEST

ADA = ContactKey("ada@example.com")
SEQUENCES = st.integers(1, LARGEST)


@given(SEQUENCES, SEQUENCES, st.none() | st.text(), st.dictionaries(SEQUENCES, st.integers(0, 2**128 - 1), max_size=8))
def test_a_lane_that_opens_again_has_all_that_it_had_when_it_closed(
    applied: int, done: int, contact_id: str | None, ids: dict[int, int]
) -> None:
    cache, again = AppliedCache(), Lane(ADA)
    cache.keep(Lane(ADA, applied=applied, done=done, contact_id=contact_id, ids=ids))

    cache.begin(again)

    assert (again.applied, again.done, again.contact_id) == (applied, done, contact_id)
    assert list(again.ids.items()) == list(ids.items())


def test_the_contact_whose_lane_closed_longest_ago_is_looked_up_again() -> None:
    cache, first, second = AppliedCache(), Lane(ADA), Lane(ContactKey("1@example.com"))
    cache.keep(Lane(ADA, applied=1))
    for number in range(1, REMEMBERED_CONTACTS + 1):
        cache.keep(Lane(ContactKey(f"{number}@example.com"), applied=1))

    cache.begin(first)
    cache.begin(second)

    assert (first.applied, second.applied) == (None, 1)
