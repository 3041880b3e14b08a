"""The ids of a contact's last events, as one property of it."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.hubspot.requests import REMEMBERED_IDS, KnownContact, last_event_ids, read_event_ids
from schemas.contacts import ContactKey, contact_hash

ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")
IDS = st.dictionaries(st.integers(1, 10**17), st.integers(0, 2**128 - 1), max_size=12)


@given(IDS)
def test_the_newest_ids_are_read_as_they_were_written(ids: dict[int, int]) -> None:
    newest = dict(sorted(ids.items())[-REMEMBERED_IDS:])

    assert read_event_ids(ADA, last_event_ids(ADA, ids)) == newest
    assert read_event_ids(GRACE, last_event_ids(ADA, ids)) == {}, "they are of another contact"


@given(st.text() | st.from_regex(r"[0-9]{1,20}:[0-9a-f-]{30,40}"))
def test_whatever_a_person_writes_there_is_read_as_no_id_or_as_an_id_and_raises_nothing(text: str) -> None:
    ids = read_event_ids(ADA, f"{contact_hash(ADA)} {text}")
    assert all(isinstance(UUID(int=event_id), UUID) for event_id in ids.values())


@pytest.mark.parametrize(
    ("sequence", "ids", "applied"),
    [(3, {}, 3), (3, {2: 22, 3: 33}, 3), (2, {2: 22, 3: 33}, 3), (999, {2: 22, 3: 33}, 999)],
)
def test_a_sequence_that_somebody_lowered_is_corrected_by_the_ids(
    sequence: int, ids: dict[int, int], applied: int
) -> None:
    assert KnownContact("1", sequence, ids).applied == applied
