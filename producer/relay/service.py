"""The life of a relay's process: all its objects, wired, from the first connection to the stop."""

import asyncio
import random
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, NoReturn

from producer.relay.outbox import Outbox
from producer.relay.reading_point import ReadingPoint
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.relay.watch import Watch
from producer.settings import Settings
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.health import Health
from runtime.journal import keep_journal, reading
from runtime.logs import log

# Limit for the end of publishing. Rows that Kafka has not acknowledged by then stay in the outbox.
FINISH_WITHIN_S: Final = 5.0


class Service:
    """A relay with its watch. It connects to nothing before it runs."""

    def __init__(self, settings: Settings) -> None:
        self.health: Final = Health()
        self.telemetry: Final = Telemetry()
        self._clock: Final = SystemClock()
        database, point = settings.relay_database, ReadingPoint()
        kafka = settings.client_options()
        sender = Sender(kafka, settings.topics, self._clock, self.telemetry, settings.kafka_compression)
        self.relay: Final = Relay(
            partial(Outbox.connect, database, self._clock, settings.outbox_retention, point=point),
            sender,
            setting=database.setting,
            health=self.health,
            telemetry=self.telemetry,
            jitter=random.Random(),  # noqa: S311 - jitter for retries, not for security
        )
        self.telemetry.shows(self.health)
        self._watch: Final = Watch(
            partial(Outbox.opened, database, self._clock),
            kafka,
            settings.topics,
            clock=self._clock,
            health=self.health,
            telemetry=self.telemetry,
            setting=database.setting,
            tell_partitions=sender.has_to_heed,
            heed=point.heed,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until *stop* is set. Raises Misconfigured if only other settings can help."""
        await self._watch.refuse_at_once()
        async with asyncio.TaskGroup() as tasks:
            works = (self.relay.run(stop), self._watch.run(), self._journal())
            relay, *others = [tasks.create_task(work) for work in works]
            await stop.wait()
            await asyncio.wait({relay}, timeout=FINISH_WITHIN_S)
            for task in (relay, *others):
                task.cancel()

    def _journal(self) -> Coroutine[Any, Any, NoReturn]:
        telemetry = self.telemetry
        counters = {
            "published": telemetry.published,
            "dead_letters": telemetry.dead_letters,
            "faults": telemetry.faults,
            "intake_requests": telemetry.intake,
        }

        def now() -> dict[str, float]:
            gauges = {"active": telemetry.active, "backlog": telemetry.backlog, "oldest_s": telemetry.oldest}
            return {name: reading(gauge) for name, gauge in gauges.items()}

        return keep_journal(partial(log.info, "relay.progress"), counters, now, self._clock)
