"""The receipt of a delivery, as it is on its topic."""

import pytest
from pydantic import ValidationError

from schemas.deliveries import Receipt

NOBODY_COULD_READ: dict[str, object] = {
    "event_id": None,
    "type": "nova_earned",
    "sequence": None,
    "outcome": "dead_lettered",
    "at": "2026-11-24T03:00:01Z",
    "attempts": 0,
    "topic": "lifecycle.nova_earned",
    "partition": 3,
    "offset": 4711,
    "published_at": "2026-11-24T03:00:00Z",
}


def test_it_reads_what_it_writes_also_of_a_record_that_nobody_could_read() -> None:
    receipt = Receipt.model_validate(NOBODY_COULD_READ)

    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
    assert (receipt.contact_id, receipt.properties, receipt.reason, receipt.detail) == (None, (), None, None)


@pytest.mark.parametrize("change", [{"outcome": "lost"}, {"at": "2026-11-24T03:00:01"}, {"partition": None}])
def test_it_takes_no_other_outcome_and_no_time_without_a_zone(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Receipt.model_validate(NOBODY_COULD_READ | change)
