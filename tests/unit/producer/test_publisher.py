"""The publisher falls asleep while nobody writes, and misses nothing."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

from producer.relay.lanes import Lanes
from producer.relay.publisher import Publisher
from producer.relay.row import Row

LATE = Row(1, "id", "ada@example.com", "nova_earned", 1, "{}", None)


class Outbox:
    """An outbox whose only row is committed just before the relay sleeps: its writer notifies nobody."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._rows: list[Row] = []
        self._stop = stop

    async def _nothing(self) -> None:
        pass

    raise_low_watermark = wake_up = _nothing

    def rewind(self) -> None:
        pass

    async def head(self, _rows: int, *, without: Iterable[int]) -> list[Row]:
        held = set(without)
        return [row for row in self._rows if row.position not in held]

    async def fall_asleep(self) -> bool:
        self._rows = [LATE]
        return True

    async def notified(self, within_s: float) -> None:
        await asyncio.sleep(within_s)

    async def delete(self, _positions: Sequence[int]) -> None:
        self._rows = []
        self._stop.set()


class Sender:
    unpublishable = frozenset[int]()

    async def send(self, _place: object, rows: Sequence[Row]) -> int:
        return len(rows)


async def test_a_row_that_was_committed_before_the_relay_slept_is_published_without_a_notification() -> None:
    stop = asyncio.Event()
    lanes = Lanes(lambda row: row.type, 12)
    outbox, sender = cast("Any", Outbox(stop)), cast("Any", Sender())
    publisher = Publisher(outbox, sender, lanes, slow_poll_s=3_600.0, goes_on=lambda _: None)

    async with asyncio.timeout(10):
        assert await publisher.run(stop) is None
