"""The records of a fetch reach the worker one by one, and a revocation drops the rest of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

from hubspot_consumer.kafka.faust_worker import RECORDS_AT_ONCE
from hubspot_consumer.settings import Settings
from tests.workers.member import Member

FETCHED = 3 * RECORDS_AT_ONCE


class Fetches:
    """Faust's stream, with these fetches of one partition."""

    def __init__(self, topic: str, fetches: Sequence[range]) -> None:
        self._topic, self._fetches = topic, fetches

    def noack(self) -> "Fetches":
        return self

    async def events(self) -> AsyncIterator[Any]:
        for offsets in self._fetches:
            yield SimpleNamespace(value=[self._record(offset) for offset in offsets])

    def _record(self, offset: int) -> Any:
        return SimpleNamespace(
            topic=self._topic, partition=0, offset=offset, timestamp=0, key=b"key", value=b"value", headers=()
        )


async def test_a_revocation_between_two_records_drops_the_rest_and_the_next_fetch_is_read() -> None:
    member = Member(Settings(hubspot_enabled=False, kafka_bootstrap_servers="127.0.0.1:1"))
    topic = member.lag.topics[0]
    member.offsets.assigned({(topic, 0): 0})

    async def revoke() -> None:
        while not member.taken:  # noqa: ASYNC110 - the turn between two records is what is waited for
            await asyncio.sleep(0)
        # The worker has let other tasks have their turn. The partition comes back from its beginning.
        member.worker._unread.clear()
        member.offsets.assigned({(topic, 0): 0})

    revoking = asyncio.create_task(revoke())
    await member.worker._read(Fetches(topic, [range(FETCHED), range(FETCHED)]))
    await revoking

    read = [offset for _, _, offset in member.taken]
    again = read.index(0, 1)
    assert read == [*range(again), *range(FETCHED)]
    assert 0 < again < FETCHED
    assert member.gaps == {}
    await member.lag.stop()
