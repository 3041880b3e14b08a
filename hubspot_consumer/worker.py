"""The worker: one Faust agent over the seven topics, bytes in, acks in offset order. Only this file knows Faust."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import faust
import structlog
from faust.types import EventT, StreamT

from hubspot_consumer.offsets import Ack
from hubspot_consumer.records import Record
from schemas.kafka import KafkaConnection

log = structlog.get_logger()

# After kill -9 the group waits this long for the dead member.
SESSION_TIMEOUT_S: Final = 10.0
# Long enough for the calls in flight to end when partitions are revoked.
REBALANCE_TIMEOUT_S: Final = 60.0
# An agent that did not poll for this long is thrown out and does not come back; the heartbeat says who is alive.
MAX_POLL_INTERVAL_S: Final = 7 * 24 * 3600.0

Take = Callable[[Record, Ack], Awaitable[None]]


class Worker:
    """Reads the topics in a consumer group and hands each record to *take*, with its ack."""

    def __init__(
        self,
        kafka: KafkaConnection,
        group: str,
        take: Take,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[], None],
    ) -> None:
        self._topics: Final = kafka.topics.events
        self._take = take
        self._app = _faust_app(kafka, group)
        self._app.agent(
            self._app.topic(
                *self._topics,
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
                # Faust would create a topic it does not find, with the wrong number of partitions.
                allow_empty=True,
            ),
            name="lifecycle",
        )(self._read)

        async def on_revoked(_app: faust.App, _revoked: object, **_: Any) -> None:
            await revoked()

        async def on_assigned(_app: faust.App, _assigned: object, **_: Any) -> None:
            assigned()

        # Faust keeps weak references to its receivers.
        self._receivers = (on_revoked, on_assigned)
        self._app.on_partitions_revoked.connect(on_revoked)
        self._app.on_partitions_assigned.connect(on_assigned)

    async def start(self) -> None:
        """Return when the worker is a member of its group."""
        await self._app.start()

    async def stop(self) -> None:
        """Leave the group, with everything committed that was acked."""
        await self._app.stop()

    @property
    def crashed(self) -> BaseException | None:
        """What stopped Faust, if anything did."""
        return self._app.crash_reason if self._app.crashed else None

    @property
    def partitions(self) -> int:
        """How many partitions this worker holds, over all topics."""
        return len(self._app.consumer.assignment()) if self._app.started else 0

    async def _read(self, stream: StreamT[bytes]) -> None:
        events: Any = stream.noack().events()
        async for event in events:
            # Whatever is raised here would ack the event and restart the agent: nothing is raised.
            await self._take(_record(event), event.ack)


def _record(event: EventT[bytes]) -> Record:
    message = event.message
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=datetime.fromtimestamp(message.timestamp or 0, UTC),
        key=message.key,
        value=message.value,
        headers=[(str(name), bytes(value or b"")) for name, value in headers],
    )
