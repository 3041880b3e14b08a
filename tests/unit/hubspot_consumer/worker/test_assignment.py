"""The assignment: a worker holds the same partition numbers of every topic, or nothing is delivered."""

from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.worker.assignment import Assignment, unequal_topics
from schemas.topics import Topics

TOPICS = Topics().events


@given(st.sets(st.integers(0, 11)))
def test_the_same_numbers_of_every_topic_are_equal(numbers: set[int]) -> None:
    assert unequal_topics([(topic, number) for topic in TOPICS for number in numbers], TOPICS) is None


@given(st.sets(st.tuples(st.sampled_from(TOPICS), st.integers(0, 3)), min_size=1))
def test_anything_else_is_named(held: set[tuple[str, int]]) -> None:
    numbers = {frozenset(number for topic, number in held if topic == one) for one in TOPICS}
    complaint = unequal_topics(held, TOPICS)

    assert (complaint is None) == (len(numbers) == 1)
    if complaint is not None:
        assert all(topic in complaint for topic in TOPICS)


async def test_before_partitions_go_calls_end_and_then_their_receipts_are_waited_for() -> None:
    came: list[str] = []

    class Delivery:
        async def drain(self, _seconds: float) -> bool:
            came.append("drained")
            return True

    class Receipts:
        async def flush(self, seconds: float) -> None:
            assert seconds > 0
            came.append("flushed")

    parts: dict[str, Any] = {"delivery": Delivery(), "rate_limiter": None, "lag": None, "alignment": None}

    await Assignment(**parts, receipts=Receipts()).revoked()  # type: ignore[arg-type]

    assert came == ["drained", "flushed"]


class AddedPartitions:
    """The lag of topics that got more partitions, which it counts if Kafka answers."""

    topics = TOPICS

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.partitions = [(topic, number) for topic in TOPICS for number in range(6)]

    async def fault_of_topics(self) -> None:
        if not self._answers:
            raise KafkaConnectionError
        self.partitions = [(topic, number) for topic in TOPICS for number in range(12)]


@pytest.mark.parametrize(("answers", "partitions"), [(True, 12), (False, 6)])
async def test_the_quota_is_divided_by_the_partitions_that_there_are_at_the_assignment(
    answers: bool,  # noqa: FBT001 - a parameter of the test
    partitions: int,
) -> None:
    limiter, delivery, alignment = Mock(), Mock(), Mock()
    parts: dict[str, Any] = {"delivery": delivery, "rate_limiter": limiter, "alignment": alignment}
    assignment = Assignment(lag=AddedPartitions(answers=answers), **parts)  # type: ignore[arg-type]

    await assignment.changed([(topic, number) for topic in TOPICS for number in range(9)])

    limiter.divide_by.assert_called_once_with(set(range(9)), partitions)
    delivery.resume.assert_called_once_with()
