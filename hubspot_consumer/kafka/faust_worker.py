"""The worker: one Faust agent over the seven topics, bytes in, without a gap. Only this file and its driver know Faust.

Faust keeps the membership in the group and passes records on. Which record comes next and what is committed is not left
to it: see `positions` and `offsets`, and docs/decisions/0048 for why.
"""

from collections.abc import Awaitable, Callable, Collection
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import faust
from faust.types import TP
from yarl import URL

from hubspot_consumer.kafka.faust_driver import Consumer, Transport
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.kafka.connection import KafkaConnection
from schemas.times import moment_of

# After kill -9 the group waits this long for the dead member; Faust's 60 s would be the next start's delay.
SESSION_TIMEOUT_S: Final = 10.0
HEARTBEAT_S: Final = 1.0
# Long enough for the calls in flight to end when partitions are revoked.
REBALANCE_TIMEOUT_S: Final = 60.0
# An agent that did not poll for this long is thrown out and does not come back; the heartbeat says who is alive.
MAX_POLL_INTERVAL_S: Final = 7 * 24 * 3600.0
COMMIT_INTERVAL_S: Final = 0.5
MOST_BYTES_OF_A_PARTITION: Final = 32 * 1024

Take = Callable[[Record], Awaitable[None]]


class FaustWorker:
    """Reads the topics in a consumer group and hands each record to *take*, which begins it in *offsets*.

    Every rebalance revokes all partitions: *revoked* is called, what *offsets* says is committed, then *dropped* is
    called, and *assigned* when partitions are held again. A record that is not the next by *gaps* is passed over: it
    was read already, or comes again.
    """

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        kafka: KafkaConnection,
        group: str,
        *,
        lease: Lease,
        offsets: Offsets,
        positions: Positions,
        gaps: Gaps,
        take: Take,
        revoked: Callable[[], Awaitable[object]],
        dropped: Callable[[], None],
        assigned: Callable[[Collection[Partition]], None],
    ) -> None:
        self._take = take
        self._gaps = gaps
        self._lease = lease
        self._offsets = offsets
        self._held_back: set[TP] = set()
        # Faust wants a folder for tables, of which we have none.
        self._folder = TemporaryDirectory(prefix="hubspot-consumer-")
        self._app = _faust_app(kafka, group, self._folder.name, positions, offsets)
        topics = self._app.topic(
            *kafka.topics.events, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(topics, name="lifecycle")(self._read)

        async def on_revoked(*_: Any, **__: Any) -> None:
            await revoked()
            # Twice: where a commit is under way, Faust waits for that one and commits nothing of its own.
            await self._app.consumer.commit()
            await self._app.consumer.commit()
            dropped()

        async def on_assigned(*_: Any, **__: Any) -> None:
            lease.renew(lease.now())
            self._held_back = set()
            assigned(self.assigned)

        # Faust keeps weak references to its receivers.
        self._receivers = (on_revoked, on_assigned)
        self._app.on_partitions_revoked.connect(on_revoked)
        self._app.on_partitions_assigned.connect(on_assigned)

    async def start(self) -> None:
        """Return when the worker is a member of its group."""
        await self._app.start()
        self._renew_with_each_heartbeat()

    async def ended(self) -> BaseException | None:
        """Return when Faust has stopped, with what made it crash if anything did."""
        await self._app.wait_until_stopped()
        return self._app.crash_reason

    async def stop(self) -> None:
        """Commit what is acknowledged and leave the group."""
        if self._app.started and not self._app.crashed:
            await self._app.consumer.commit()
        await self._app.stop()
        self._folder.cleanup()

    @property
    def assigned(self) -> Collection[Partition]:
        """The partitions that this worker holds."""
        return [(partition.topic, partition.partition) for partition in self._app.consumer.assignment()]

    async def heed_errors(self) -> None:
        """Log what the group's coordinator answered, and let the client try again. Raises what ended its membership.

        aiokafka waits for somebody to ask, and Faust never does: without this the client would not join again.
        """
        await cast("Consumer", self._app.consumer).heed_errors()

    @property
    def paused(self) -> Collection[Partition]:
        """The partitions of which nothing is fetched for now."""
        return self._held_back

    async def seek_back(self, partition: Partition) -> None:
        """Fetch a partition again from the record on that is to be read next."""
        if (offset := self._offsets.next_of(partition)) is not None:
            await cast("Consumer", self._app.consumer).seek_back(partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch nothing of these partitions for now, and go on with all others. What was fetched is still read."""
        # Not by `pause_partitions`: that drops what was fetched and not read yet.
        consumer = self._app.consumer
        wanted = {TP(topic, number) for topic, number in partitions}
        for partition in self._held_back - wanted:
            consumer.on_buffer_drop(partition)
        for partition in wanted:
            # Each time: Faust goes on with a partition when its own buffer drains.
            consumer.on_buffer_full(partition)
        self._held_back = wanted

    def _renew_with_each_heartbeat(self) -> None:
        # aiokafka keeps to itself when the group last answered a heartbeat.
        consumer: Any = self._app.consumer
        coordinator = consumer._thread._consumer._coordinator  # noqa: SLF001 - there is no public way
        heartbeat: Callable[[], Awaitable[bool]] = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def noted() -> bool:
            asked_at = self._lease.now()
            if answered := await heartbeat():
                self._lease.renew(asked_at)
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001 - see above

    async def _read(self, stream: Any) -> None:
        async for event in stream.noack().events():
            record = _record(event.message)
            if await self._gaps.is_next(record, self):
                # Whatever is raised here would end the agent: `take` raises nothing.
                await self._take(record)


def _faust_app(kafka: KafkaConnection, group: str, folder: str, positions: Positions, offsets: Offsets) -> faust.App:
    app = faust.App(
        group,
        datadir=folder,
        broker=[URL(f"kafka://{server}") for server in kafka.bootstrap_servers],
        broker_credentials=_credentials(kafka),
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_max_poll_interval=MAX_POLL_INTERVAL_S,
        broker_commit_interval=COMMIT_INTERVAL_S,
        # An offset that Kafka does not hold is told, and sought explicitly.
        consumer_auto_offset_reset="none",
        # Small, so that sibling partitions are read side by side: far ahead in one topic are only holes.
        consumer_max_fetch_size=MOST_BYTES_OF_A_PARTITION,
        # Our tracker waits for the calls in flight, within a bound; Faust would wait without one.
        stream_wait_empty=False,
        # Faust would create a topic it does not find, with the wrong number of partitions.
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app, positions, offsets)
    return app


def _credentials(kafka: KafkaConnection) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = kafka.ssl_context()
    if kafka.kafka_security_protocol.startswith("SASL") and kafka.kafka_sasl_password is not None:
        return faust.SASLCredentials(
            username=kafka.kafka_sasl_username,
            password=kafka.kafka_sasl_password.get_secret_value(),
            mechanism=kafka.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _record(message: Any) -> Record:
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp=moment_of(message.timestamp or 0),
        key=message.key,
        value=message.value,
        headers=[(str(name), bytes(value or b"")) for name, value in headers],
    )
