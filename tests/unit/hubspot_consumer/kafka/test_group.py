"""What a group does not continue where it was, by its offsets."""

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from hubspot_consumer.kafka.group import unread_records

EARNED, REDEEMED, RECEIPTS = "lifecycle.nova_earned", "lifecycle.nova_redeemed", "lifecycle.deliveries"
OTHERS = [(REDEEMED, 0), (EARNED, 1), (REDEEMED, 1)]


class Kafka:
    """Offsets of two topics with two partitions each, and of receipts; the first record is at offset 2."""

    def __init__(self, ends: Mapping[tuple[str, int], int], committed: Mapping[tuple[str, int], int]) -> None:
        self._ends, self._committed = ends, committed

    async def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: min(2, self._ends.get(one, 0)) for one in partitions}

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {one: self._ends.get(one, 0) for one in partitions}

    async def list_consumer_group_offsets(self, _group: str, *, partitions: Collection[TopicPartition]) -> Any:
        # Kafka answers -1 where it has no offset.
        return {one: SimpleNamespace(offset=self._committed.get(one, -1)) for one in partitions}


@pytest.mark.parametrize(
    ("committed", "receipts", "forgotten"),
    [
        pytest.param({}, 0, [], id="a-new-group"),
        pytest.param({}, 7, [(EARNED, 0)], id="all-forgotten"),
        pytest.param(dict.fromkeys(OTHERS, 0), 0, [(EARNED, 0)], id="one-topic-forgotten"),
        pytest.param(dict.fromkeys([(EARNED, 1), (REDEEMED, 1)], 0), 7, [], id="an-added-number"),
        pytest.param({(EARNED, 0): 5, **dict.fromkeys(OTHERS, 0)}, 7, [], id="all-there"),
    ],
)
async def test_an_offset_is_forgotten_where_the_group_has_read_before_and_there_are_records(
    committed: Mapping[tuple[str, int], int], receipts: int, forgotten: list[tuple[str, int]]
) -> None:
    kafka = cast("Any", Kafka({(EARNED, 0): 5, (RECEIPTS, 0): receipts}, committed))
    partitions = [TopicPartition(topic, number) for topic in (EARNED, REDEEMED) for number in (0, 1)]

    found = await unread_records(kafka, kafka, "group", partitions, [TopicPartition(RECEIPTS, 0)])

    assert (list(found.forgotten), dict(found.deleted)) == (forgotten, {})


async def test_records_before_the_first_that_is_left_were_deleted_unread() -> None:
    kafka = cast("Any", Kafka({(EARNED, 0): 5, (REDEEMED, 0): 5}, {(EARNED, 0): 1, (REDEEMED, 0): 2}))
    partitions = [TopicPartition(EARNED, 0), TopicPartition(REDEEMED, 0)]

    assert (await unread_records(kafka, kafka, "group", partitions, [])).deleted == {partitions[0]: (1, 2)}
