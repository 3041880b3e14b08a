from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from runtime.kafka.asked_topics import learn_asked_topics_at_once

ASKED = {TopicPartition(topic, number): -1 for topic in ("earned", "redeemed", "moved") for number in range(2)}


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Fetcher, "_proc_offset_requests", Fetcher._proc_offset_requests)
    yield
    monkeypatch.undo()


async def test_all_topics_are_known_to_the_client_before_it_is_asked_for_an_offset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = set[str]()

    async def asked(_fetcher: Any, timestamps: object) -> set[str]:
        assert timestamps is ASKED
        return set(known)

    monkeypatch.setattr("runtime.kafka.asked_topics._ask_as_before", asked)
    learn_asked_topics_at_once()
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._client = SimpleNamespace(add_topic=known.add)

    assert await fetcher._proc_offset_requests(ASKED) == {"earned", "redeemed", "moved"}
