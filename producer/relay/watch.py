"""The watch: it checks Kafka and measures the backlog, also while the relay is idle."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

import psycopg

from producer.new_connections import NewConnections
from producer.relay.backlog import Backlog
from producer.relay.outbox import Outbox
from producer.telemetry import Telemetry
from runtime.clock import Clock
from runtime.health import Health
from runtime.kafka.admission import Admission, KafkaAway
from runtime.kafka.further_tries import NO_ANSWER, asked_again
from runtime.kafka.new_topics import Found, find
from runtime.kafka.topics import UnequalPartitions, admin_client
from schemas.topics import Topics

LOOK_EVERY_S: Final = 3.0
KAFKA_WITHIN_S: Final = 3.0


class Watch:
    """Checks every few seconds, with separate connections, and reports to *health* and *telemetry*."""

    def __init__(  # noqa: PLR0913 - the composition root passes each by name
        self,
        connect: Callable[[], Awaitable[Outbox]],
        kafka: dict[str, Any],
        topics: Topics,
        *,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        setting: str = "DATABASE_URL",
        tell_partitions: Callable[[int], None] = lambda _: None,
        heed: Callable[[int], None] = lambda _: None,
    ) -> None:
        """*heed* is called with the position of the first row that waits."""
        self._connect: Final = connect
        self._kafka: Final = kafka
        self._admission: Final = Admission(kafka, waits_for_login=True)
        self._topics: Final = topics
        self._clock: Final = clock
        self._health: Final = health
        self._telemetry: Final = telemetry
        self._connections: Final = NewConnections(health, "database_connections", setting)
        self._tell_partitions: Final = tell_partitions
        self._backlog: Final = Backlog(clock, heed)

    async def refuse_at_once(self) -> None:
        """Check once at the start whether Kafka accepts the settings. Raises KafkaRefused if only others help; `run`
        reports what passes: an outage, or a refused login.
        """
        self._health.ill("kafka", "connecting")
        with suppress(KafkaAway):
            await self._admission.ask()

    async def run(self) -> NoReturn:
        """Check until cancelled. Raises KafkaRefused if Kafka has never accepted the settings."""
        while True:
            await asyncio.gather(self._look_at_kafka(), self._look_at_outbox())
            await self._clock.sleep(LOOK_EVERY_S)

    async def _look_at_kafka(self) -> None:
        try:
            found = await asked_again(self._find_topics, self._clock)
        except NO_ANSWER as error:
            self._health.ill("kafka", await self._admission.why(error))
        except UnequalPartitions as error:
            self._health.ill("topics", str(error))
        else:
            self._admission.granted()
            self._health.well("kafka")
            if found.complaint:
                self._health.ill("topics", found.complaint)
            else:
                self._health.well("topics")
            if found.partitions:
                self._tell_partitions(found.partitions)

    async def _find_topics(self) -> Found:
        async with admin_client(self._kafka, request_timeout_ms=int(KAFKA_WITHIN_S * 1000)) as admin:
            return await find(admin, self._topics, self._topics.published)

    async def _look_at_outbox(self) -> None:
        accepted = False
        try:
            async with await self._connect() as outbox, outbox.looking():
                accepted = True
                self._connections.made()
                backlog, oldest_s = await self._backlog.look(outbox)
        except psycopg.Error as error:
            self._telemetry.backlog_unknown()
            if not accepted:
                self._connections.refused(error)
            # The relay reports what is wrong with the outbox, because it depends on that too.
            return
        self._telemetry.backlog.set(backlog)
        self._telemetry.oldest.set(oldest_s)
