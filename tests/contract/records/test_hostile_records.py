"""Hostile records of an event topic, read and delivered by the worker's own code: each ends once, as its line says."""

from typing import Final

from tests.clock import run_fast
from tests.contract.delivering import Worker
from tests.contract.test_delivery_property import portal_of_ours
from tests.fuzz.reading import as_read
from tests.hostile.inputs import inputs_of
from tests.hostile.records import as_stored

REFUSED: Final = "refused by Kafka"
# Larger ones are read by the end-to-end test, from a real Kafka.
LARGEST: Final = 20_000_000
RECORDS: Final = [
    one
    for one in inputs_of("event record")
    if one.outcome != REFUSED and not any(str(LARGEST * 10) in str(part) for part in one.fields.values())
]


def test_each_record_is_delivered_or_set_aside_with_its_reason() -> None:
    read = [as_read(as_stored(one, offset)) for offset, one in enumerate(RECORDS)]

    receipts = run_fast(Worker(portal_of_ours(), (), seed=1).read(read))

    ended = {each.offset: f"dead letter {each.reason}" if each.reason else each.outcome for each in receipts}
    assert len(receipts) == len(RECORDS)
    assert all(text.isprintable() for each in receipts for text in (each.event_id or "", each.type, each.detail or ""))
    assert {one.name: ended[offset] for offset, one in enumerate(RECORDS)} == {one.name: one.outcome for one in RECORDS}
