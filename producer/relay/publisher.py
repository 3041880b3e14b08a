"""The publisher: it reads, sends and deletes rows concurrently while its relay is active."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from producer.relay.lanes import Lanes, Place
from producer.relay.outbox import Outbox
from producer.relay.row import Row
from producer.relay.sender import FAULTS, Sender
from runtime.clock import set_within

ROWS_AT_ONCE: Final = 4_000
# High watermarks for rows that were read and are not deleted yet, and for their texts: above them nothing is read.
MOST_ROWS: Final = 16_000
MOST_OCTETS: Final = 32 * 1024 * 1024
# Wait between two queries for new rows while the relay is awake. It is shorter where a query finds more than FEW rows,
# and doubles with each query that finds none after the first NAPS.
NAP_S: Final = 0.006
FEW: Final = 4
NAPS: Final = 2
LONGEST_NAP_S: Final = 0.5
# Published rows wait so long to be deleted together, unless reading or a contact's next rows wait for it.
GATHER_S: Final = 0.1


class Publisher:
    """Publishes the rows of *outbox* to Kafka until a stop or a fault. Unpublished rows stay in the outbox.

    *goes_on* is called with a place when rows of it are published and deleted, and with None when there are no rows.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        lanes: Lanes,
        *,
        slow_poll_s: float,
        goes_on: Callable[[Place | None], None],
    ) -> None:
        self._outbox: Final = outbox
        self._sender: Final = sender
        self._lanes: Final = lanes
        self._slow_poll_s: Final = slow_poll_s
        self._goes_on: Final = goes_on
        # The size of each row that was read and is not deleted yet, by position.
        self._unfinished: Final[dict[int, int]] = {}
        self._octets = 0
        self._undeleted = 0
        self._published: defaultdict[Place, list[int]] = defaultdict(list)
        self._to_delete: Final = asyncio.Event()
        self._delete_now: Final = asyncio.Event()
        self._progress: Final = asyncio.Event()
        self._sending: Final[set[Place]] = set()
        self._fault: Exception | None = None
        # The place where the fault was.
        self.faulty: Place | None = None

    async def run(self, stop: asyncio.Event) -> Exception | None:
        """Publish until *stop* is set or Kafka has a fault, which is returned. Acknowledged rows are deleted before.

        Raises a group of psycopg.Error if the database is lost, or refuses a statement.
        """
        async with asyncio.TaskGroup() as self._tasks:
            deleting = self._tasks.create_task(self._delete_published())
            await self._read(stop)
            self._delete_now.set()
            while self._sending or self._undeleted:
                await self._wait_for_progress(LONGEST_NAP_S)
            deleting.cancel()
        return self._fault

    async def _read(self, stop: asyncio.Event) -> None:
        naps = 0
        while not stop.is_set() and self._fault is None:
            await self._outbox.raise_low_watermark()
            if len(self._unfinished) >= MOST_ROWS or self._octets >= MOST_OCTETS:
                self._delete_now.set()
                await self._wait_for_progress(LONGEST_NAP_S)
                continue
            rows = await self._head(ROWS_AT_ONCE)
            self._take(rows)
            naps = 0 if rows else naps + 1
            if naps >= NAPS and self._published:
                self._delete_now.set()
            if naps >= NAPS and not self._unfinished:
                naps = 0 if await self._sleep(stop, naps) else naps
            elif len(rows) < ROWS_AT_ONCE:
                # Rows that arrive meanwhile are read together.
                await self._wait_for_progress(_nap_s(naps, len(rows)))

    async def _head(self, rows: int) -> list[Row]:
        return await self._outbox.head(rows, without=chain(self._unfinished, self._sender.unpublishable))

    def _take(self, rows: Sequence[Row]) -> None:
        for row in rows:
            octets = row.size
            self._unfinished[row.position] = octets
            self._octets += octets
        self._lanes.take(rows)
        self._go_on()

    def _go_on(self) -> None:
        """Send what is ready, and see to it that what waits for a deletion gets one."""
        if self._lanes.wait_for_deletion:
            self._to_delete.set()
        if self._lanes.wait_for_deletion or len(self._unfinished) >= ROWS_AT_ONCE:
            self._delete_now.set()
        for place in self._lanes.ready.keys() - self._sending:
            self._sending.add(place)
            self._tasks.create_task(self._send(place))

    async def _send(self, place: Place) -> None:
        """Send the rows that are ready for *place*, one batch after the other."""
        try:
            while self._fault is None and (rows := self._lanes.ready.pop(place, None)):
                count = await self._sender.send(place, rows)
                if count < len(rows):
                    self._lanes.ready[place][:0] = rows[count:]
                self._acknowledged(place, rows[:count])
        except FAULTS as fault:
            if self._fault is None:
                self._fault, self.faulty = fault, place
            self._progress.set()
        finally:
            self._sending.remove(place)

    def _acknowledged(self, place: Place, rows: Sequence[Row]) -> None:
        self._undeleted += len(rows)
        self._published[place].extend(row.position for row in rows)
        self._to_delete.set()
        self._lanes.published(rows)
        self._go_on()

    async def _delete_published(self) -> None:
        while True:
            await self._to_delete.wait()
            await set_within(self._delete_now, GATHER_S)
            self._to_delete.clear()
            self._delete_now.clear()
            published, self._published = self._published, defaultdict(list)
            changes = self._lanes.before_deletion()
            if positions := [*chain.from_iterable(published.values())]:
                await self._outbox.delete(positions)
            self._lanes.deleted(changes)
            self._go_on()
            self._undeleted -= len(positions)
            for position in positions:
                self._octets -= self._unfinished.pop(position)
            for place in published:
                self._goes_on(place)
            self._progress.set()

    async def _sleep(self, stop: asyncio.Event, naps: int) -> bool:
        """Return True when rows were read, False after a short wait because a writer's transaction is still open."""
        self._goes_on(None)
        self._outbox.rewind()
        if not await self._outbox.fall_asleep():
            await set_within(stop, _nap_s(naps))
            return False
        # The query is repeated: a writer may have committed before it could see that the relay sleeps.
        while not (rows := await self._head(ROWS_AT_ONCE)) and not stop.is_set():
            await self._outbox.raise_low_watermark()
            await self._outbox.notified(self._slow_poll_s)
        self._take(rows)
        await self._outbox.wake_up()
        return True

    async def _wait_for_progress(self, at_most_s: float) -> None:
        self._progress.clear()
        await set_within(self._progress, at_most_s)


def _nap_s(naps: int, rows: int = 0) -> float:
    """Return the wait after a query that found *rows*, or the last of *naps* queries that found none."""
    return min(NAP_S * FEW / max(FEW, rows) * 2.0 ** min(max(0, naps - NAPS), 16), LONGEST_NAP_S)
