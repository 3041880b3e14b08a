"""The relay: it publishes the outbox to Kafka. One relay is active, the others stand by to take over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import psycopg

from producer.relay.lanes import Lanes
from producer.relay.outbox import NotMigrated, Outbox
from producer.relay.publisher import Publisher
from producer.relay.sender import FAULTS, NotActive, Sender
from producer.telemetry import Telemetry
from runtime.clock import backoff_s, set_within
from runtime.commands import cause
from runtime.health import Health
from runtime.logs import log

STAND_BY_S: Final = 0.5
BEAT_S: Final = 0.5
# A poll in addition to NOTIFY, for rows that were inserted without the SQL function.
SLOW_POLL_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 5.0


class Relay:
    """Publishes the rows of the outbox, and deletes the ones that Kafka has acknowledged.

    A relay is active while its connection to the database holds the relay's lock. A standby ends the connection of an
    active relay that is silent. Rows that the silent relay had in flight may be published again; readers ignore such
    repeats. They can't break the order of a contact's events, since each relay publishes an event only when the one
    before is on Kafka.
    """

    def __init__(  # noqa: PLR0913 - the composition root passes each by name
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
        # The number of consecutive failures; a published row resets it.
        self._failures = 0
        self.active = False

    @property
    def state(self) -> dict[str, str]:
        """The relay's role, as health and status show it."""
        return {"relay": "active" if self.active else "standby"}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until *stop* is set and the batch in flight is finished. Outages of the database and of Kafka are waited
        out.
        """
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
            except* (psycopg.OperationalError, psycopg.InterfaceError, NotMigrated) as lost:
                failures += 1
                self._health.ill("database", _why(cause(lost)))
                self._be_active(active=False)
                await set_within(self._stop, backoff_s(failures, self._jitter, longest_s=LONGEST_BACKOFF_S))
        self._be_active(active=False)

    async def _take_part(self, outbox: Outbox) -> None:
        while not await outbox.become_active():
            if await set_within(self._stop, STAND_BY_S):
                return
            if await outbox.depose():
                log.warning("relay.deposed_a_silent_one")
        self._be_active(active=True)
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(self._beat(outbox))
            await self._publish_until_stopped(outbox)
            beating.cancel()

    async def _beat(self, outbox: Outbox) -> NoReturn:
        while True:
            await outbox.beat()
            self._health.well("database")
            await outbox.forget()
            await asyncio.sleep(BEAT_S)

    async def _publish_until_stopped(self, outbox: Outbox) -> None:
        while not self._stop.is_set():
            fault = await self._publish(outbox)
            if fault is not None:
                self._failures += 1
                self._telemetry.faults.labels(type(fault).__name__).inc()
                self._health.ill(
                    "database" if isinstance(fault, NotActive) else "kafka", f"{type(fault).__name__}: {fault}"
                )
                await set_within(self._stop, backoff_s(self._failures, self._jitter, longest_s=LONGEST_BACKOFF_S))

    async def _publish(self, outbox: Outbox) -> Exception | None:
        """Return the fault that ended publishing, None after a stop."""
        outbox.rewind()
        try:
            partitions = await self._sender.open(lambda: outbox.answers)
            self._health.well("kafka")
            lanes = Lanes(self._sender.topic_of, partitions)
            publisher = Publisher(outbox, self._sender, lanes, slow_poll_s=self._slow_poll_s)
            fault = await publisher.run(self._stop)
            if publisher.acknowledged:
                self._failures = 0
        except FAULTS as refused:
            fault = refused
        finally:
            await self._sender.close()
        return fault

    def _be_active(self, *, active: bool) -> None:
        if active != self.active:
            log.info("relay.active" if active else "relay.not_active")
        self.active = active
        self._telemetry.active.set(active)


def _why(error: BaseException) -> str:
    if isinstance(error, NotMigrated):
        return str(error)
    # The first line of psycopg's message has the cause, with host and user but without a password.
    return f"DATABASE_URL: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
