"""Checks of Kafka: the brokers, the topics, the workers' group, its lag, the receipts and the dead letters."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.doctor.brokers import brokers_answer, replicas
from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import Answer, CannotTell, Check, Checks, Look, count, duration, fail, ok, warn
from hubspot_consumer.doctor.receipts import compare
from hubspot_consumer.doctor.topics import auto_create, partitions, topic_settings, topics
from hubspot_consumer.doctor.unread import unread_answer
from hubspot_consumer.doctor.versions import kafka_version, workers_answer
from hubspot_consumer.kafka.group import Group, describe_group, unread_records
from hubspot_consumer.kafka.group_refusals import session_refused
from hubspot_consumer.kafka.lag import first_unfinished
from runtime.kafka.admission import KafkaAway, KafkaRefused, ask_admission
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import Partitions, look

REQUEST_WITHIN_MS: Final = 4_000
# A lag in events that a worker delivers within minutes.
MUCH_LAG: Final = 10_000
# Time limit for reading dead letters or receipts: a million of them must not delay the other findings.
READ_WITHIN_S: Final = 4.0
# What a reader asks next waits until Kafka has answered its last fetch, for half a second by default.
FETCH_WAIT_MS: Final = 20
NO_ANSWER: Final = (KafkaError, OSError, TimeoutError, KafkaRefused, KafkaAway)
SEE_KAFKA: Final = "Kafka does not answer: see kafka"
# What to do about a finding.
CONNECT: Final = "check the brokers, KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_* settings"
GET_SESSION: Final = "change it on the brokers: workers then join by themselves"
GET_WORKERS: Final = "start one: `python -m hubspot_consumer worker`"
GET_UNDELIVERED: Final = (
    "they may not have been delivered, unless receipts were off or dropped (`receipts.dropped` in the workers' "
    "log): `audit` shows what HubSpot lacks, and `replay` writes it"
)
GET_DEAD_LETTERS: Final = "`python -m hubspot_consumer dead-letters list` shows them, and `show` says what to do"

T = TypeVar("T")


class KafkaChecks:
    """Checks of Kafka. They join no group and commit no offsets."""

    def __init__(self, environment: Environment) -> None:
        settings = environment.settings
        self._settings: Final = settings
        self._opened: Final = AsyncExitStack()
        self._connected: Final = Look(self._connect, NO_ANSWER, SEE_KAFKA)
        self._described: Final = Look(self._describe, NO_ANSWER, SEE_KAFKA)
        self._group: Final = Look(self._describe_group, NO_ANSWER, SEE_KAFKA)

    def checks(self) -> Checks:
        return Checks(
            [
                Check("kafka", self.brokers, CONNECT),
                Check("kafka_version", partial(kafka_version, self._connected)),
                Check("topics", partial(topics, self._described, self._settings)),
                Check("replicas", partial(_unless_away, self.replicas)),
                Check("partitions", partial(partitions, self._described, self._settings)),
                Check("topic_settings", partial(topic_settings, self._connected, self._settings)),
                Check("auto_create", partial(auto_create, self._connected)),
                Check("group", partial(_unless_away, self.group)),
                Check("worker_versions", partial(_unless_away, self.worker_versions)),
                Check("lag", partial(_unless_away, self.lag)),
                Check("offsets", partial(_unless_away, self.offsets)),
                Check("receipts", partial(_unless_away, self.receipts)),
                Check("dead_letters", partial(_unless_away, self.dead_letters)),
            ],
            self._opened.aclose,
        )

    async def brokers(self) -> Answer:
        """Check whether brokers answer, and which do not."""
        servers = ", ".join(self._settings.bootstrap_servers)
        try:
            admin, _ = await self._connected.seen()
            described = await self._described.seen()
            return await brokers_answer(admin, self._settings.client_options(), described, servers)
        except (KafkaError, OSError, TimeoutError) as error:
            return fail(f"no broker answers at {servers} ({type(error).__name__})", CONNECT)
        except (KafkaRefused, KafkaAway) as error:
            return fail(str(error), CONNECT)

    async def replicas(self) -> Answer:
        """Check whether the copies of our topics are in sync."""
        admin, _ = await self._connected.known()
        return await replicas(admin, await self._described.known(), self._settings.kafka_replication_factor)

    async def group(self) -> Answer:
        """Check whether workers are members of the consumer group, as their heartbeats keep them."""
        self._reads()
        group, name = await self._group.known(), self._settings.group
        state, members = group.state, len(group.members)
        if not members:
            if (refused := await session_refused((await self._connected.known())[0])) is not None:
                return fail(
                    f"no worker is in {name}: {refused}", "change it on the brokers; workers then join by themselves"
                )
            return fail(f"no worker is in {name} ({state})", GET_WORKERS)
        partitions = max((len(one) for one in (await self._described.known()).values()), default=0)
        if members > partitions > 0:
            return warn(f"{count(members, 'worker')} in {name}, for {partitions} partitions", "stop some")
        if state != "Stable":
            return warn(f"{count(members, 'worker')} in {name}, which is rebalancing ({state})", "run the doctor again")
        return ok(f"{count(members, 'worker')} in {name}")

    async def worker_versions(self) -> Answer:
        """Check whether all workers of the group run one version, and none older than the doctor's."""
        self._reads()
        return workers_answer((await self._group.known()).members)

    async def lag(self) -> Answer:
        """Report how many events the group has not acked, by topic."""
        self._reads()
        lags = await self._lags()
        total = sum(lags.values())
        if not total:
            return ok(f"{self._settings.group} has read everything")
        listed = ", ".join(f"{name} {lag:,}" for name, lag in lags.items() if lag)
        what = f"{count(total, 'event')} not acked: {listed}"
        if not (await self._group.known()).members:
            return fail(f"{what}; and no worker", GET_WORKERS)
        if total >= MUCH_LAG:
            return warn(
                what,
                "see worker, sending and daily_quota; if these are ok, more events arrive than the quota allows",
            )
        return ok(what)

    async def offsets(self) -> Answer:
        """Check whether the group continues where it was, or whether Kafka has lost its offsets or unread records."""
        self._reads()
        partitions = await self._event_partitions()
        receipts = await self._partitions_of(self._settings.topics.deliveries) if self._settings.mode == "live" else []
        admin, reader = await self._connected.seen()
        found = await unread_records(admin, reader, self._settings.group, partitions, receipts)
        return unread_answer(found, self._settings.group)

    async def receipts(self) -> Answer:
        """Check whether each event that the group has acked left a receipt, partition by partition."""
        if self._settings.mode != "live" or not self._settings.delivery_receipts:
            raise CannotTell("a dry run and DELIVERY_RECEIPTS=false leave no receipts")
        topic = self._settings.topics.deliveries
        described = await self._described.known()
        if not (deliveries := await self._partitions_of(topic)):
            raise CannotTell(f"{topic} does not exist: no event has ended yet")
        admin, reader = await self._connected.seen()
        if not any((await reader.ends(deliveries)).values()):
            raise CannotTell(f"{topic} is empty: no event has ended yet")
        committed = await admin.list_consumer_group_offsets(self._settings.group)
        acked = {one: at.offset for one, at in committed.items() if at.offset >= 0 and one.topic in described}
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                # The comparison has its own reader, because it assigns other partitions than the reader for offsets.
                found = await compare(await self._reader(), acked, deliveries)
        except TimeoutError:
            return warn(
                "the receipts could not be compared within the time limit",
                "run the doctor again when Kafka is less busy",
            )
        unreadable = f"; {count(found.unreadable, 'record')} of {topic} can't be read" if found.unreadable else ""
        since = f" published since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
        if not found.missing:
            return ok(f"each of {count(found.compared, 'acked event')}{since} has a receipt{unreadable}")
        named = ", ".join(found.missing[:3]) + (", …" if len(found.missing) > 3 else "")
        return warn(
            f"{count(len(found.missing), 'acked event')}{since} left no receipt: {named}{unreadable}", GET_UNDELIVERED
        )

    async def dead_letters(self) -> Answer:
        """Report how many dead letters are open, and the reason and age of the newest."""
        topic = self._settings.topics.dead_letters
        if topic not in await self._described.known():
            raise CannotTell("the topic does not exist: see topics")
        options = self._settings.client_options() | {"request_timeout_ms": REQUEST_WITHIN_MS}
        totals: list[int] = []
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                catalogue = await DeadLetterCatalogue.read(
                    options, self._settings.topics, lambda _, total: totals.append(total)
                )
        except TimeoutError:
            if not totals:
                raise
            return warn(f"{totals[0]:,} on the topic: too many to count the open ones in time", GET_DEAD_LETTERS)
        if not (letters := catalogue.open()):
            return ok("no dead letter is open")
        newest = max(letters, key=lambda letter: letter.failed_at)
        age = duration((datetime.now(UTC) - newest.failed_at).total_seconds())
        what = f"{len(letters):,} open, the newest {age} ago: {newest.reason or '?'}: {newest.detail or '?'}"
        return warn(what, GET_DEAD_LETTERS)

    async def _lags(self) -> dict[str, int]:
        partitions = await self._event_partitions()
        admin, reader = await self._connected.seen()
        ends = await reader.ends(partitions)
        unfinished = await first_unfinished(admin, reader, self._settings.group, partitions)
        lags = dict.fromkeys((one.topic for one in partitions), 0)
        for one in partitions:
            lags[one.topic] += ends[one] - unfinished[one]
        return lags

    async def _event_partitions(self) -> list[TopicPartition]:
        found = await self._partitions_of(*self._settings.topics.events)
        if not found:
            raise CannotTell("none of the event topics exists: see topics")
        return found

    async def _partitions_of(self, *topics: str) -> list[TopicPartition]:
        described = await self._described.known()
        return [TopicPartition(topic, one["partition"]) for topic in topics for one in described.get(topic, ())]

    def _reads(self) -> None:
        if self._settings.mode == "disabled":
            raise CannotTell("HUBSPOT_ENABLED is false: nothing is read")

    async def _connect(self) -> tuple[AIOKafkaAdminClient, TopicReader]:
        if not self._settings.bootstrap_servers:
            raise CannotTell("KAFKA_BOOTSTRAP_SERVERS is not set")
        await ask_admission(self._settings.client_options())
        admin = AIOKafkaAdminClient(**self._settings.client_options(), request_timeout_ms=REQUEST_WITHIN_MS)
        self._opened.push_async_callback(admin.close)
        await admin.start()
        return admin, await self._reader()

    async def _reader(self) -> TopicReader:
        options = {"request_timeout_ms": REQUEST_WITHIN_MS, "fetch_max_wait_ms": FETCH_WAIT_MS}
        reader = TopicReader(self._settings.client_options(), **options)
        self._opened.push_async_callback(reader.stop)
        await reader.start()
        return reader

    async def _describe(self) -> dict[str, Partitions]:
        admin, _ = await self._connected.seen()
        return await look(admin, self._settings.topics.all)

    async def _describe_group(self) -> Group:
        admin, _ = await self._connected.seen()
        return await describe_group(admin, self._settings.group)


async def _unless_away(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await ask()
    except KafkaError as error:
        raise CannotTell(f"{SEE_KAFKA} ({type(error).__name__})") from error
