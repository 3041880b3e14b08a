"""Resyncs: contacts that a worker can't write completely by itself are written again from the topics, beside it.

People work in HubSpot too. A contact that somebody deleted there comes back with the newest event's properties alone. A
contact whose sequence somebody raised takes no event any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Literal, NoReturn

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lane import ContactUpdate
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import ContactKey

ResyncReason = Literal["deleted", "sequence_doubtful"]
"""Why a contact is written again. A metric has these words, so they are a public contract."""
Resync = Callable[[Collection[ContactKey]], Awaitable[None]]
"""Writes contacts from the topics, as the command `resync` does. Raises what keeps it from that."""

# Contacts that are deleted together are read together: each resync reads their partitions once.
GATHER_S: Final = 5.0
# Another run may be active, sending may be paused, or Kafka may be away.
AGAIN_S: Final = 30.0
MOST_AT_ONCE: Final = 10_000


class Resyncs:
    """The contacts that wait for a resync. A worker that stops forgets them; `audit` finds what they lack."""

    def __init__(self, resync: Resync, clock: Clock, telemetry: Telemetry) -> None:
        self._resync = resync
        self._clock = clock
        self._telemetry = telemetry
        self._waiting: dict[ContactKey, None] = {}
        self._arrived = asyncio.Event()

    def came_back(self, update: ContactUpdate, contact_id: str) -> None:
        """Want the contact of an update that created it again: somebody had deleted it in HubSpot, or renamed it."""
        fields = {"contact_id": contact_id, "contact_before": update.lane.contact_id or ""}
        log.warning("contact.came_back", **update.events[0].log_fields, **fields)
        self._want(update.lane.key, "deleted")

    def doubtful(self, update: ContactUpdate) -> None:
        """Want the contact of an update whose events count as applied, although HubSpot may never have had them."""
        unsure = update.lane.unsure
        fields = {"contact_id": update.lane.contact_id, "sequence": unsure[-1], "last_known": unsure[0] - 1}
        log.warning("contact.sequence_doubtful", **update.events[0].log_fields, **fields)
        self._want(update.lane.key, "sequence_doubtful")

    async def run(self) -> NoReturn:
        """Resync the contacts that wait, and try again what fails, until cancelled."""
        while True:
            await self._arrived.wait()
            await self._clock.sleep(GATHER_S)
            keys = list(self._waiting)[:MOST_AT_ONCE]
            for key in keys:
                del self._waiting[key]
            try:
                await self._resync(keys)
            except Exception as error:  # noqa: BLE001 - whatever it is, events of all contacts go on
                log.warning("contact.not_resynced", contacts=len(keys), error=type(error).__name__, detail=str(error))
                self._waiting |= dict.fromkeys(keys)
                await self._clock.sleep(AGAIN_S)
            else:
                log.info("contact.resynced", contacts=len(keys))
            if not self._waiting:
                self._arrived.clear()

    def _want(self, key: ContactKey, why: ResyncReason) -> None:
        self._telemetry.resyncs.labels(why).inc()
        self._waiting[key] = None
        self._arrived.set()
