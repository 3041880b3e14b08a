"""The relay: rows of the outbox to Kafka. One relay is active, the others stand by to take over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import psycopg
import structlog

from producer.outbox import NotMigrated, Outbox
from producer.sender import Sender
from producer.telemetry import Telemetry
from runtime.backoff import backoff_s
from runtime.health import Health

log = structlog.get_logger()

ROWS_AT_ONCE: Final = 1_000
STAND_BY_S: Final = 1.0
# Behind the NOTIFY, for rows that were inserted without the SQL function.
SLOW_POLL_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 5.0
FIRST_NAP_S: Final = 0.005
LONGEST_NAP_S: Final = 0.5


class Relay:
    """Publishes what is in the outbox, and deletes what Kafka acknowledged.

    It is active while its connection to the database holds the relay's lock. A relay that has lost it without noticing
    may publish again what the new one publishes: repeats, which readers ignore. It can't put a contact's events out of
    order, since each relay publishes an event only when the one before is on Kafka.
    """

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        connect: Callable[[], Awaitable[Outbox]],
        sender: Sender,
        *,
        health: Health,
        telemetry: Telemetry,
        jitter: random.Random,
        slow_poll_s: float = SLOW_POLL_S,
    ) -> None:
        self._connect: Final = connect
        self._sender: Final = sender
        self._health: Final = health
        self._telemetry: Final = telemetry
        self._jitter: Final = jitter
        self._slow_poll_s: Final = slow_poll_s
        self._stop = asyncio.Event()
        self.active = False

    async def run(self, stop: asyncio.Event) -> None:
        """Return when *stop* is set and the batch in flight is done with. Database and Kafka may come and go."""
        self._stop = stop
        self._health.ill("database", "connecting")
        try:
            await self._keep_connected()
        finally:
            await self._sender.close()

    async def _keep_connected(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                async with await self._connect() as outbox:
                    failures = 0
                    self._health.well("database")
                    await self._take_part(outbox)
            except (psycopg.OperationalError, psycopg.InterfaceError, NotMigrated) as error:
                failures += 1
                self._health.ill("database", _why(error))
                await self._pause(backoff_s(failures, self._jitter, longest_s=LONGEST_BACKOFF_S))
            finally:
                self._be_active(active=False)

    async def _take_part(self, outbox: Outbox) -> None:
        while not await outbox.become_active():
            await self._pause(STAND_BY_S)
            if self._stop.is_set():
                return
        self._be_active(active=True)
        failures = naps = 0
        while not self._stop.is_set():
            rows = await outbox.head(ROWS_AT_ONCE, without=self._sender.unpublishable)
            if not rows:
                naps = 0 if await self._sleep(outbox, naps) else naps + 1
                continue
            naps = 0
            sent = await self._sender.send(rows)
            await outbox.delete(sent.positions)
            if sent.fault is None:
                failures = 0
                self._health.well("kafka")
            else:
                failures += 1
                self._health.ill("kafka", f"{type(sent.fault).__name__}: {sent.fault}")
                await self._pause(backoff_s(failures, self._jitter, longest_s=LONGEST_BACKOFF_S))

    async def _sleep(self, outbox: Outbox, naps: int) -> bool:
        """Return True when there is something to read, False after a nap because a writer is not done yet."""
        if not await outbox.fall_asleep():
            await self._pause(min(FIRST_NAP_S * 2 ** min(naps, 16), LONGEST_NAP_S))
            return False
        # Once more: a writer may have committed before it could know that we sleep.
        while not await outbox.head(1, without=self._sender.unpublishable) and not self._stop.is_set():
            await outbox.notified(self._slow_poll_s)
        await outbox.wake_up()
        return True

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _be_active(self, *, active: bool) -> None:
        if active != self.active:
            log.info("relay.active" if active else "relay.not_active")
        self.active = active
        self._telemetry.active.set(active)


def _why(error: Exception) -> str:
    if isinstance(error, NotMigrated):
        return str(error)
    # psycopg's first line says what happened; it holds host and user, and no password.
    return f"DATABASE_URL: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
