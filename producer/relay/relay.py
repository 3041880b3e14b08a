"""The relay: it publishes the outbox to Kafka. One relay is active, the others stand by to take over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import psycopg

from producer.relay.lanes import Lanes, Place
from producer.relay.lock import Holder
from producer.relay.outbox import Outbox
from producer.relay.publisher import Publisher
from producer.relay.sender import FAULTS, Sender, why_not_published
from producer.relay.session import NoSession, Unusable
from producer.telemetry import Telemetry
from runtime.clock import backoff_s, set_within
from runtime.commands import cause
from runtime.database import why_refused
from runtime.endings import Misconfigured
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
        setting: str = "DATABASE_URL",
        health: Health,
        telemetry: Telemetry,
        jitter: random.Random,
        slow_poll_s: float = SLOW_POLL_S,
    ) -> None:
        self._connect: Final = connect
        self._sender: Final = sender
        # The setting that has the database's URL.
        self._setting: Final = setting
        self._health: Final = health
        self._telemetry: Final = telemetry
        self._jitter: Final = jitter
        self._slow_poll_s: Final = slow_poll_s
        self._stop = asyncio.Event()
        # Consecutive faults of Kafka and of the database: a published row resets both, and so does an empty outbox.
        self._failures = self._lost = 0
        # Whether the database refused something after it had accepted a connection. Another one proves nothing then.
        self._refused = False
        # Whether a connection has had a session of its own.
        self._had_session = False
        # The place of Kafka's last fault, None if all places had it.
        self._faulty: Place | None = None
        # Who had the lock when this relay last looked.
        self._holder: Holder | None = None
        self.active = False

    @property
    def state(self) -> dict[str, str]:
        """The relay's role, and of a standby who has the lock, as health and status show it."""
        holder = {"lock_holder": str(self._holder)} if self._holder and not self.active else {}
        return {"relay": "active" if self.active else "standby", **holder}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until *stop* is set and the batch in flight is finished. Faults of the database and of Kafka are waited
        out, whatever they are.

        Raises Misconfigured if the URL of the database leads through a pooler that shares sessions from the start.
        """
        self._stop = stop
        self._health.ill("database", "connecting")
        try:
            await self._keep_connected()
        finally:
            await self._sender.close()

    async def _keep_connected(self) -> None:
        while not self._stop.is_set():
            connected = False
            try:
                async with await self._connect() as outbox:
                    connected = self._had_session = True
                    if not self._refused:
                        self._health.well("database")
                    await self._take_part(outbox)
            except* (psycopg.Error, Unusable) as lost:
                self._lost += 1
                self._refused |= connected
                why = self._why(cause(lost))
                if isinstance(cause(lost), NoSession) and not self._had_session:
                    raise Misconfigured(why) from None
                self._health.ill("database", why)
                self._be_active(active=False)
                self._stand_by_for(None)
                await set_within(self._stop, backoff_s(self._lost, self._jitter, longest_s=LONGEST_BACKOFF_S))
        self._be_active(active=False)

    async def _take_part(self, outbox: Outbox) -> None:
        while not await outbox.become_active():
            if await set_within(self._stop, STAND_BY_S):
                return
            if await outbox.depose():
                log.warning("relay.deposed_a_silent_one")
            await outbox.beat()
            # The active relay reports what can't be published.
            self._goes_on(None)
            self._stand_by_for(await outbox.holder())
        self._stand_by_for(None)
        self._be_active(active=True)
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(self._beat(outbox))
            await self._publish_until_stopped(outbox)
            beating.cancel()

    async def _beat(self, outbox: Outbox) -> NoReturn:
        while True:
            await outbox.beat()
            await outbox.forget()
            await asyncio.sleep(BEAT_S)

    async def _publish_until_stopped(self, outbox: Outbox) -> None:
        while not self._stop.is_set():
            fault = await self._publish(outbox)
            if fault is not None:
                self._failures += 1
                self._telemetry.faults.labels(type(fault).__name__).inc()
                self._health.ill("publishing", why_not_published(fault))
                await set_within(self._stop, backoff_s(self._failures, self._jitter, longest_s=LONGEST_BACKOFF_S))

    async def _publish(self, outbox: Outbox) -> Exception | None:
        """Return the fault that ended publishing, None after a stop."""
        outbox.rewind()
        try:
            partitions = await self._sender.open(lambda: outbox.answers)
            lanes = Lanes(self._sender.topic_of, partitions)
            publisher = Publisher(outbox, self._sender, lanes, slow_poll_s=self._slow_poll_s, goes_on=self._goes_on)
            fault = await publisher.run(self._stop)
            self._faulty = publisher.faulty
        except FAULTS as refused:
            fault, self._faulty = refused, None
        finally:
            await self._sender.close()
        return fault

    def _goes_on(self, place: Place | None) -> None:
        """Record that rows of *place* were published and deleted or, with None, that there are none to publish."""
        self._failures = self._lost = 0
        self._refused = False
        self._health.well("database")
        if place is None or self._faulty in (None, place):
            self._health.well("publishing")

    def _stand_by_for(self, holder: Holder | None) -> None:
        if holder and holder != self._holder:
            log.info("relay.stands_by", pid=holder.pid, role=holder.role, application_name=holder.application_name)
        self._holder = holder
        if holder and not holder.may_be_a_relay:
            self._health.ill(
                "relay_lock",
                f"a connection that is no relay's keeps all relays from publishing ({holder}):"
                f" end it with SELECT pg_terminate_backend({holder.pid})",
            )
        else:
            self._health.well("relay_lock")

    def _be_active(self, *, active: bool) -> None:
        if active != self.active:
            log.info("relay.active" if active else "relay.not_active")
        self.active = active
        self._telemetry.active.set(active)

    def _why(self, lost: BaseException) -> str:
        return why_refused(lost, self._setting) if isinstance(lost, psycopg.Error) else f"{self._setting}: {lost}"
