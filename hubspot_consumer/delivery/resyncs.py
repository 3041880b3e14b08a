"""Resyncs: contacts that a worker can't write completely by itself are written again from the topics, beside it.

People work in HubSpot too. A contact that somebody deleted there comes back with the newest event's properties alone. A
contact whose sequence somebody raised takes no event any more.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import islice
from typing import Final, NoReturn

from hubspot_consumer.hubspot.outcomes import Delivered
from hubspot_consumer.metrics import ResyncReason, Telemetry
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import ContactKey

Resync = Callable[[Collection[ContactKey]], Awaitable[Collection[ContactKey]]]
"""Writes contacts from the topics, as the command `resync` does, and returns those that were not written. Raises what
keeps it from that.
"""

# Contacts that are deleted together are read together: each resync reads their partitions once.
GATHER_S: Final = 5.0
# Another run may be active, sending may be paused, or Kafka may be away. Each attempt may read the topics in vain.
AGAIN_S: Final = 30.0
LONGEST_AGAIN_S: Final = 600.0
# A resync that takes longer is stuck, and keeps other runs away.
LONGEST_S: Final = 3_600.0
MOST_AT_ONCE: Final = 10_000


class Resyncs:
    """The contacts that wait for a resync. A worker that stops forgets them; `audit` finds what they lack.

    *resync* is None in a dry run, which writes nothing.
    """

    def __init__(self, resync: Resync | None, lanes: Lanes, clock: Clock, telemetry: Telemetry) -> None:
        self._resync = resync
        self._lanes = lanes
        self._clock = clock
        self._telemetry = telemetry
        # How often each contact was wanted: once more while its resync is under way means another resync.
        self._waiting = Counter[ContactKey]()
        self._arrived = asyncio.Event()
        self._under_way: asyncio.Task[Collection[ContactKey]] | None = None

    def written(self, update: ContactUpdate, outcome: Delivered) -> None:
        """Want the contact of an update that was written, if HubSpot may lack what earlier events say of it.

        This is so if the update created a contact that existed before, if another one has its email now, or if a hole
        was given up, whose events may have been finished before a restart.
        """
        lane, first = update.lane, update.events[0]
        another = lane.contact_id not in (None, outcome.contact_id)
        # A contact whose earlier events are all dead letters is created by a later one.
        created_again = outcome.created and first.sequence > 1 and (lane.gave_up or lane.contact_id is not None)
        if another or created_again:
            fields = {"contact_id": outcome.contact_id, "contact_before": lane.contact_id or ""}
            log.warning("contact.came_back", **first.log_fields, **fields)
            self._want(lane.key, "deleted")
        elif lane.gave_up:
            self._want(lane.key, "hole_released")
        lane.gave_up = False

    def doubtful(self, update: ContactUpdate) -> None:
        """Want the contact of an update whose events count as applied, although HubSpot may never have had them."""
        if update.lane.key in self._waiting:
            return
        unsure = update.lane.unsure
        fields = {"contact_id": update.lane.contact_id, "sequence": unsure[-1], "last_known": unsure[0] - 1}
        log.warning("contact.sequence_doubtful", **update.events[0].log_fields, **fields)
        self._want(update.lane.key, "sequence_doubtful")

    async def run(self) -> NoReturn:
        """Resync the contacts that wait, and try again what fails, until cancelled."""
        again_s = AGAIN_S
        while True:
            await self._arrived.wait()
            await self._clock.sleep(GATHER_S)
            wanted = dict(islice(self._waiting.items(), MOST_AT_ONCE))
            self._under_way = asyncio.create_task(self._within_limit(wanted.keys()))
            # A cancellation does not wait for the end of the resync: see `stop`.
            await asyncio.wait([self._under_way])
            if (error := self._under_way.exception()) is not None:
                log.warning("contact.not_resynced", contacts=len(wanted), error=type(error).__name__, detail=str(error))
                await self._clock.sleep(again_s)
                again_s = min(again_s * 2, LONGEST_AGAIN_S)
                continue
            again_s = AGAIN_S
            self._ended(wanted, self._under_way.result())

    def _ended(self, wanted: Mapping[ContactKey, int], not_written: Collection[ContactKey]) -> None:
        log.info("contact.resynced", contacts=len(wanted) - len(not_written), not_written=len(not_written))
        for key in not_written:
            self._lanes.trust_ids(key)
        self._waiting -= Counter(wanted)
        if not self._waiting:
            self._arrived.clear()

    async def stop(self, seconds: float) -> None:
        """Cancel the resync that is under way, and wait for its end: it releases the contacts that it holds."""
        if self._under_way is not None and not self._under_way.done():
            self._under_way.cancel()
            await asyncio.wait([self._under_way], timeout=seconds)

    async def _within_limit(self, keys: Collection[ContactKey]) -> Collection[ContactKey]:
        async with asyncio.timeout(LONGEST_S):
            return await self._resync(keys) if self._resync is not None else ()

    def _want(self, key: ContactKey, why: ResyncReason) -> None:
        if self._resync is None:
            return
        self._telemetry.resyncs.labels(why).inc()
        self._waiting[key] += 1
        self._arrived.set()
