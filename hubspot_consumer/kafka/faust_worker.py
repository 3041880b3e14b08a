"""The Faust worker: one agent reads the seven topics, as bytes and without a gap. Only it and its driver use Faust.

Faust provides the membership in the group and passes records on. `positions` chooses the next record and `offsets` what
is committed; docs/decisions/0048 explains why.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import faust
from faust.types import TP
from yarl import URL

from hubspot_consumer.kafka.faust_driver import Assignor, Consumer, TableManager, Transport
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.group import client_id
from hubspot_consumer.kafka.group_refusals import SESSION_TIMEOUT_S
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.kafka.connection import KafkaConnection
from schemas.times import moment_of

HEARTBEAT_S: Final = 1.0
# Time for the calls in flight to end when partitions are revoked.
REBALANCE_TIMEOUT_S: Final = 60.0
# A member that polls less often is removed from the group and does not rejoin; heartbeats show whether it is alive.
MAX_POLL_INTERVAL_S: Final = 7 * 24 * 3600.0
COMMIT_INTERVAL_S: Final = 0.5
MOST_BYTES_OF_A_PARTITION: Final = 32 * 1024
# The limit for the records of one event of Faust, and for the events that wait for the agent. Fetched records beyond
# them stay packed in the client.
MOST_RECORDS_OF_A_FETCH: Final = 500
MOST_FETCHES_WAITING: Final = 2
# After so many records the other tasks have their turn.
RECORDS_AT_ONCE: Final = 50


class FaustWorker:
    """Reads the topics in a consumer group and passes each record to *take*, which begins it in *offsets*.

    Every rebalance revokes all partitions: *revoked* is called, then the acked offsets of *offsets* are committed, then
    *dropped* is called, and *assigned* after the next assignment. A record that is not the next one by *gaps* is
    ignored: it was read already, or will be read again.
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
        take: Callable[[Record], Awaitable[None]],
        revoked: Callable[[], Awaitable[object]],
        dropped: Callable[[], None],
        assigned: Callable[[Collection[Partition]], Awaitable[None]],
    ) -> None:
        self._take = take
        self._gaps = gaps
        self._lease = lease
        self._offsets = offsets
        # The paused partitions, from which nothing is fetched.
        self.paused: set[TP] = set()
        # The records of the current event that are not read yet.
        self._unread: deque[Any] = deque()
        # Faust requires a folder for its tables, although this app has none.
        self._folder = TemporaryDirectory(prefix="hubspot-consumer-")
        self._app = _faust_app(kafka, group, self._folder.name, positions, offsets)
        topics = self._app.topic(
            *kafka.topics.events, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(topics, name="lifecycle")(self._read)

        async def on_revoked(*_: Any, **__: Any) -> None:
            self._unread.clear()
            await revoked()
            # The second commit is needed where one is under way: Faust's first then only waits for that one to end.
            await self._app.consumer.commit()
            await self._app.consumer.commit()
            dropped()

        async def on_assigned(*_: Any, **__: Any) -> None:
            lease.renew(lease.now())
            self.paused = set()
            await assigned(self.assigned)

        # These references keep the receivers alive: Faust has only weak ones.
        self._receivers = (on_revoked, on_assigned)
        self._app.on_partitions_revoked.connect(on_revoked)
        self._app.on_partitions_assigned.connect(on_assigned)

    async def start(self) -> None:
        """Return when the worker is a member of its group."""
        await self._app.start()
        self._renew_with_each_heartbeat()

    async def ended(self) -> BaseException | None:
        """Wait until Faust has stopped; return the exception that crashed it, if any."""
        await self._app.wait_until_stopped()
        return self._app.crash_reason

    async def stop(self) -> None:
        """Commit what is acked and leave the group."""
        if self._app.started and not self._app.crashed:
            await self._app.consumer.commit()
        await self._app.stop()
        self._folder.cleanup()

    @property
    def assigned(self) -> Collection[Partition]:
        """The assigned partitions."""
        return [(partition.topic, partition.partition) for partition in self._app.consumer.assignment()]

    async def heed_errors(self) -> Exception | None:
        """Log and return an error of the group's coordinator; the client then tries again. Raise one that ended the
        membership.

        aiokafka keeps such an error until it is fetched, and Faust never fetches it: the client would not rejoin.
        """
        return await cast("Consumer", self._app.consumer).heed_errors()

    async def look_for_partitions(self) -> None:
        """Look for partitions that were added to the topics, of which the group then assigns all anew."""
        await cast("Consumer", self._app.consumer).look_for_partitions()

    async def seek_back(self, partition: Partition) -> None:
        """Fetch a partition again, from the next record to be read."""
        if (offset := self._offsets.next_of(partition)) is not None:
            await cast("Consumer", self._app.consumer).seek_back(partition, offset)

    def pause(self, partitions: Collection[Partition]) -> None:
        """Pause exactly these partitions, and resume all others. Records that were fetched before are still read."""
        # Faust's `pause_partitions` would drop records that were fetched and not read yet.
        consumer = self._app.consumer
        wanted = {TP(topic, number) for topic, number in partitions}
        for partition in self.paused - wanted:
            consumer.on_buffer_drop(partition)
        for partition in wanted:
            # The pause is repeated at each call, because Faust resumes a partition when its own buffer drains.
            consumer.on_buffer_full(partition)
        self.paused = wanted

    def _renew_with_each_heartbeat(self) -> None:
        # aiokafka exposes no time of the last answered heartbeat.
        consumer: Any = self._app.consumer
        coordinator = consumer._thread._consumer._coordinator  # noqa: SLF001 - no public way
        heartbeat: Callable[[], Awaitable[bool]] = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def noted() -> bool:
            asked_at = self._lease.now()
            if answered := await heartbeat():
                self._lease.renew(asked_at)
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001 - see above

    async def _read(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self._unread.extend(event.value)
            while self._unread:
                await self._read_record(_record(self._unread.popleft()))
                if len(self._unread) % RECORDS_AT_ONCE == 0:
                    # A revocation may drop the rest here.
                    await asyncio.sleep(0)

    async def _read_record(self, record: Record) -> None:
        if await self._gaps.is_next(record, self):
            # An exception here would end the agent; `take` raises none for the content of a record.
            await self._take(record)


def _faust_app(kafka: KafkaConnection, group: str, folder: str, positions: Positions, offsets: Offsets) -> faust.App:
    app = faust.App(
        group,
        datadir=folder,
        broker=[URL(f"kafka://{server}") for server in kafka.bootstrap_servers],
        broker_credentials=_credentials(kafka),
        broker_client_id=client_id(),
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_max_poll_interval=MAX_POLL_INTERVAL_S,
        broker_commit_interval=COMMIT_INTERVAL_S,
        # An offset that Kafka does not have raises an error, after which `positions` seeks another.
        consumer_auto_offset_reset="none",
        PartitionAssignor=Assignor,
        TableManager=TableManager,
        # Small fetches keep co-partitioned topics aligned: events far ahead in one topic only make holes.
        consumer_max_fetch_size=MOST_BYTES_OF_A_PARTITION,
        broker_max_poll_records=MOST_RECORDS_OF_A_FETCH,
        stream_buffer_maxsize=MOST_FETCHES_WAITING,
        # `Assignment.revoked` waits for the calls in flight, with a time limit; Faust would wait without one.
        stream_wait_empty=False,
        # Faust would create a missing topic, with the wrong number of partitions.
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app, positions, offsets)
    return app


def _credentials(
    kafka: KafkaConnection,
) -> faust.SASLCredentials | faust.OAuthCredentials | faust.SSLCredentials | None:
    options = kafka.client_options()
    if tokens := options.get("sasl_oauth_token_provider"):
        return faust.OAuthCredentials(oauth_cb=tokens, ssl_context=options["ssl_context"])
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            # Faust passes it on to aiokafka unseen: it may be a file, which each connection reads.
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options["ssl_context"],
        )
    return faust.SSLCredentials(options["ssl_context"]) if options["ssl_context"] is not None else None


def _record(fetched: Any) -> Record:
    return Record(
        topic=fetched.topic,
        partition=fetched.partition,
        offset=fetched.offset,
        timestamp=moment_of((fetched.timestamp or 0) / 1000),
        key=fetched.key,
        value=fetched.value,
        headers=[(name, value or b"") for name, value in fetched.headers],
    )
