from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka import AIOKafkaClient
from aiokafka.errors import GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v1, OffsetFetchResponse_v3

from runtime.kafka.patches.group_errors import heed_group_errors

ASKED = OffsetFetchRequest("workers", [("events", [0])])
FOUND = [("events", [(0, 7, "", 0)])]


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """What aiokafka's client sends."""
    sent = AsyncMock()
    monkeypatch.setattr(AIOKafkaClient, "send", AIOKafkaClient.send)
    monkeypatch.setattr("runtime.kafka.patches.group_errors._send_as_before", sent)
    heed_group_errors()
    return sent


async def answer(sent: AsyncMock, response: Any, request: Any = ASKED) -> Any:
    sent.return_value = response
    return await AIOKafkaClient.send(AIOKafkaClient.__new__(AIOKafkaClient), 1, request)


async def test_a_group_that_is_still_loaded_is_not_one_without_offsets(sent: AsyncMock) -> None:
    with pytest.raises(GroupLoadInProgressError) as raised:
        await answer(sent, OffsetFetchResponse_v3(throttle_time_ms=0, topics=[], error_code=14))

    assert raised.value.retriable


@pytest.mark.parametrize(
    "response",
    [
        OffsetFetchResponse_v3(throttle_time_ms=0, topics=FOUND, error_code=0),
        OffsetFetchResponse_v1(topics=FOUND),
    ],
)
async def test_offsets_are_returned(sent: AsyncMock, response: Any) -> None:
    assert await answer(sent, response) is response


async def test_other_answers_are_their_readers_business(sent: AsyncMock) -> None:
    response = OffsetFetchResponse_v3(throttle_time_ms=0, topics=[], error_code=14)

    assert await answer(sent, response, request=object()) is response
