"""Actions of the console, on a real topic: noted before they are done, and not done where they can't be noted."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from fastapi import Request

from console.audit_log import AuditLog, NotNoted
from console.person import Person
from schemas.topics import Topics
from tests.clock import OwnedClock
from tests.kafka import topic_list

ADA = cast("Request", SimpleNamespace(state=SimpleNamespace(person=Person("ada", "operator"))))


async def noted(kafka: Any, topic: str) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    partition = TopicPartition(topic, 0)
    async with consumer:
        consumer.assign([partition])
        [end] = (await consumer.end_offsets([partition])).values()
        records = [await consumer.getone() for _ in range(end)]
    assert {record.key for record in records} == {b"ada"}
    return [json.loads(record.value) for record in records]


def actions(bootstrap_servers: str, topics: Topics) -> AuditLog:
    return AuditLog(topic_list.connection(bootstrap_servers, topics), OwnedClock())


async def test_an_action_is_on_the_topic_before_it_is_done_and_again_with_what_came_of_it(
    kafka: Any, topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    ours = actions(kafka.bootstrap_servers, topics)

    async with ours.action(ADA, "redrive", reasons=["invalid_payload"]) as told:
        [begun] = await noted(kafka, topics.actions)
        told["redriven"] = 3
    with pytest.raises(ZeroDivisionError):
        async with ours.action(ADA, "pause"):
            raise ZeroDivisionError
    await ours.stop()

    _, done, *others = await noted(kafka, topics.actions)
    assert (begun["who"], begun["role"], begun["action"], begun["state"]) == ("ada", "operator", "redrive", "begun")
    assert begun["arguments"] == {"reasons": ["invalid_payload"]}
    assert (done["id"], done["state"], done["outcome"]) == (begun["id"], "done", {"redriven": 3})
    assert [(other["state"], other["outcome"]) for other in others] == [
        ("begun", {}),
        ("failed", {"error": "ZeroDivisionError"}),
    ]


async def test_what_can_not_be_noted_is_not_done() -> None:
    ours = actions("127.0.0.1:1", Topics())

    with pytest.raises(NotNoted, match="nothing was done"):
        async with ours.action(ADA, "pause"):
            pytest.fail("it was done")


async def test_an_action_whose_end_can_not_be_noted_says_so_and_hides_nothing_that_went_wrong(
    kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = actions(kafka.bootstrap_servers, Topics(topic_prefix))

    with pytest.raises(NotNoted, match="before you repeat it") as told:
        async with ours.action(ADA, "redrive"):
            monkeypatch.setattr("console.audit_log.WRITTEN_WITHIN_S", 0)
    assert "its end is not recorded" in told.value.title

    async def fails() -> None:
        async with ours.action(ADA, "redrive"):
            monkeypatch.setattr("console.audit_log.WRITTEN_WITHIN_S", 0)
            raise ZeroDivisionError

    monkeypatch.undo()
    with pytest.raises(ZeroDivisionError):
        await fails()
    await ours.stop()
