"""From the outbox to Kafka: compares our relay with Debezium, on the same rows and equal topics, with a consumer."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median, quantiles
from typing import Any, Final, Self, get_args

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.bed import PARTITIONS, Bed
from bench.outbox.publishers import Debezium, OurRelay, Publisher
from bench.usage import cpu_s
from producer.settings import Compression
from sandbox.stack import create_topics
from schemas.topics import Topics

Row = Mapping[str, Any]

RUNS: Final = 3
CONTACTS: Final = 20_000
CLIENTS: Final = 4
WARM_UP_S: Final = 6.0
LATENCY_S: Final = 6.0
IDLE_S: Final = 4.0
GIVE_UP_S: Final = 300.0
COMPARED: Final = [
    f"{per_s}/s: {figure}" for per_s in (50, 1_000) for figure in ("p50 ms", "p99 ms", "CPU % of a core")
]

# The rows that `track_lifecycle_event` would write, without its checks, which take ten times as long.
FILL: Final = """
INSERT INTO outbox_events (id, aggregateid, type, sequence, payload)
SELECT id, key, type, sequence, jsonb_build_object(
    'id', id, 'type', type, 'schema_version', 1, 'sequence', sequence, 'occurred_at', '2026-11-24T03:00:00.123456Z',
    'contact', jsonb_build_object('email', key, 'external_id', 'usr_' || contact),
    'totals', jsonb_build_object('nova_earned_cents', 500 * sequence, 'nova_redeemed_cents', 0),
    'payload', jsonb_build_object('user_id', 'usr_' || contact, 'amount_cents', 500, 'session_id', id,
        'new_balance_cents', 500 * sequence, 'earned_at', '2026-11-24T03:00:00Z'))
FROM (
    SELECT gen_random_uuid() AS id, n % {contacts} AS contact, 'contact' || n % {contacts} || '@example.com' AS key,
        1 + n / {contacts} AS sequence, (ARRAY['nova_earned', 'nova_redeemed', 'nova_earned', 'wallet_pass_installed',
            'nova_earned', 'first_redemption_completed', 'driver_signed_up'])[1 + (n + n / {contacts}) % 7] AS type
    FROM generate_series({first}, {last}) AS n
) AS rows
"""
TRACK: Final = """
SELECT track_lifecycle_event('nova_earned', jsonb_build_object('email', %s::text, 'user_id', %s::text,
    'amount_cents', 500, 'session_id', 'ses_1', 'new_balance_cents', 3500, 'earned_at', '2026-11-24T03:00:00Z'))::text
"""


class Reader:
    """A consumer of all topics, which stores the number of records read over time, and the arrivals by event id."""

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
        self._topics = topics
        self.arrivals: dict[bytes, float] = {}
        self.keep_arrivals = False
        self._read = 0
        self._reached: list[tuple[int, float]] = []

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(topic, n) for topic in self._topics.events for n in range(PARTITIONS)])
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        await self._consumer.stop()

    async def until(self, records: int) -> None:
        """Return when *records* records were read. Raises TimeoutError."""
        async with asyncio.timeout(GIVE_UP_S):
            while self._read < records:  # noqa: ASYNC110 - polls the progress of another process
                await asyncio.sleep(0.02)

    def when(self, records: int) -> float:
        return next(moment for read, moment in self._reached if read >= records)

    async def _run(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=500)
            now = time.monotonic()
            for batch in batches.values():
                self._read += len(batch)
                if self.keep_arrivals:
                    self.arrivals.update((dict(record.headers)["id"], now) for record in batch)
            if batches:
                self._reached.append((self._read, now))


async def relaying(bed: Bed) -> list[Row]:
    """100,000 rows from a cold start, and 500,000 rows: our relay beside Debezium, three runs, medians."""
    async with _Relaying(bed) as bench:
        cold = [await bench.drained(kind, 100_000) for _ in range(RUNS) for kind in (OurRelay, Debezium)]
        warm = [await bench.drained(kind, 500_000) for _ in range(RUNS) for kind in (OurRelay, Debezium)]
    rows: list[Row] = []
    for kind in (OurRelay, Debezium):
        of_cold, of_warm = ([run for run in runs if run["publisher"] == kind.name] for runs in (cold, warm))
        rows.append(
            {
                "publisher": kind.name,
                "settings": of_cold[0]["settings"],
                "100,000 from a cold start, events/s": _median(of_cold, "events/s"),
                "500,000, last half, events/s": _median(of_warm, "last half, events/s"),
                "500,000, CPU s of the process": _median(of_warm, "CPU s"),
                "500,000, CPU s of PostgreSQL meanwhile": _median(of_warm, "PostgreSQL CPU s"),
            }
        )
    return rows


async def relay_latency(bed: Bed) -> list[Row]:
    """From the commit to the consumer at 50/s and 1,000/s, CPU at both and idle; both versions beside Debezium."""
    kinds: Mapping[str, Callable[..., Publisher]] = {
        **{version.name: partial(OurRelay, version=version) for version in bed.versions},
        Debezium.name: partial(Debezium, poll_interval_ms=1),
    }
    async with _Relaying(bed) as bench:
        runs = [{"version": name, **await bench.latency(kind)} for _ in range(RUNS) for name, kind in kinds.items()]
    rows: list[Row] = []
    for name in kinds:
        of_kind = [run for run in runs if run["version"] == name]
        texts = {text: of_kind[0][text] for text in ("version", "publisher", "settings")}
        rows.append(texts | {figure: _median(of_kind, figure) for figure in of_kind[0] if figure not in texts})
    return [{**row, **{f"{figure}, of Debezium": _of(row, rows[-1], figure) for figure in COMPARED}} for row in rows]


async def compression(bed: Bed) -> list[Row]:
    """300,000 rows with each KAFKA_COMPRESSION, beside `none` in the same run; three runs, medians."""
    codecs = get_args(Compression)
    async with _Relaying(bed) as bench:
        runs = [
            (codec, await bench.drained(partial(OurRelay, compression=codec), 300_000))
            for _ in range(RUNS)
            for codec in codecs
        ]
    found = {codec: [run for of, run in runs if of == codec] for codec in codecs}

    def beside_none(codec: str, figure: str) -> float:
        return float(median(run[figure] for run in found[codec]) / median(run[figure] for run in found["none"]))

    return [
        {
            "KAFKA_COMPRESSION": codec,
            "time of the last half, of that with none": f"{1 / beside_none(codec, 'last half, events/s'):.2f}",
            "CPU s of the relay, of that with none": f"{beside_none(codec, 'CPU s'):.2f}",
            "bytes that Kafka stores, of those with none": f"{beside_none(codec, 'bytes stored'):.2f}",
            "bytes an event": round(median(run["bytes stored"] for run in found[codec]) / 300_000),
            "last half, events/s": _median(found[codec], "last half, events/s"),
        }
        for codec in codecs
    ]


async def relay_flat(bed: Bed) -> list[Row]:
    """2,000,000 rows: the rate of each tenth."""
    async with _Relaying(bed) as bench:
        return [await bench.tenths(2_000_000)]


class _Relaying:
    """The runs of the comparison, with a connection to the bed's database. The outbox is emptied before each run."""

    def __init__(self, bed: Bed) -> None:
        self._bed: Final = bed
        self._numbers: Final = itertools.count(1)

    async def __aenter__(self) -> Self:
        url = self._bed.stack.environment["DATABASE_URL"]
        self._connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def drained(self, kind: Callable[..., Publisher], rows: int) -> Row:
        publisher, topics = await self._prepared(kind)
        await self._fill(rows)
        self._bed.say(f"{publisher.name}: {rows:,} rows")
        async with Reader(self._bed.stack.kafka.bootstrap_servers, topics) as reader:
            database = self._bed.stack.postgres.pid
            began, spent = time.monotonic(), cpu_s(database)
            await publisher.start()
            try:
                await reader.until(rows)
                used, spent = cpu_s(publisher.pid), cpu_s(database) - spent
            finally:
                await publisher.stop()
        end = reader.when(rows)
        return {
            "publisher": publisher.name,
            "settings": publisher.settings,
            "events/s": rows / (end - began),
            "last half, events/s": rows / 2 / (end - reader.when(rows // 2)),
            "CPU s": used,
            "PostgreSQL CPU s": spent,
            "bytes stored": sum(
                log.stat().st_size for log in self._bed.stack.kafka.data.glob(f"{topics.prefix}*/*.log")
            ),
        }

    async def tenths(self, rows: int) -> Row:
        publisher, topics = await self._prepared(OurRelay)
        await self._fill(rows)
        async with Reader(self._bed.stack.kafka.bootstrap_servers, topics) as reader:
            await publisher.start()
            try:
                await reader.until(rows)
            finally:
                await publisher.stop()
        # The first tenth begins with its first record, so that the start of Python is not counted.
        moments = [reader.when(1), *(reader.when(rows * tenth // 10) for tenth in range(1, 11))]
        rates = [rows / 10 / (later - earlier) for earlier, later in itertools.pairwise(moments)]
        return {f"tenth {tenth}, events/s": round(rate) for tenth, rate in enumerate(rates, 1)} | {
            "last beside first": f"{rates[-1] / rates[0]:.2f}"
        }

    async def latency(self, kind: Callable[..., Publisher]) -> Row:
        publisher, topics = await self._prepared(kind)
        self._bed.say(f"{publisher.name}: latency")
        async with Reader(self._bed.stack.kafka.bootstrap_servers, topics) as reader:
            await publisher.start()
            try:
                await self._commit(1_000, WARM_UP_S)
                reader.keep_arrivals = True
                found: dict[str, Any] = {"publisher": publisher.name, "settings": publisher.settings}
                for per_s in (50, 1_000):
                    before = cpu_s(publisher.pid)
                    committed = await self._commit(per_s, LATENCY_S)
                    found[f"{per_s}/s: CPU % of a core"] = 100 * (cpu_s(publisher.pid) - before) / LATENCY_S
                    await asyncio.sleep(1)
                    cuts = quantiles((reader.arrivals[id_] - at for id_, at in committed.items()), n=100)
                    found |= {f"{per_s}/s: p50 ms": cuts[49] * 1000, f"{per_s}/s: p99 ms": cuts[98] * 1000}
                before = cpu_s(publisher.pid)
                await asyncio.sleep(IDLE_S)
                found["idle: CPU % of a core"] = 100 * (cpu_s(publisher.pid) - before) / IDLE_S
            finally:
                await publisher.stop()
        return found

    async def _prepared(self, kind: Callable[..., Publisher]) -> tuple[Publisher, Topics]:
        stack, topics = self._bed.stack, Topics(f"relay{next(self._numbers)}x{time.monotonic_ns()}.")
        await create_topics(stack.kafka.bootstrap_servers, topics, PARTITIONS)
        await self._connection.execute("TRUNCATE outbox_events, outbox_contacts, outbox_directory")
        publisher = kind(self._bed.directory, stack.environment, topics)
        await publisher.prepare()
        return publisher, topics

    async def _fill(self, rows: int) -> None:
        self._bed.say(f"filling the outbox with {rows:,} rows")
        step = 100_000
        for first in range(0, rows, step):
            await self._connection.execute(
                FILL.format(contacts=CONTACTS, first=first, last=min(first + step, rows) - 1)
            )
        await self._connection.execute("CHECKPOINT")

    async def _commit(self, per_s: int, for_s: float) -> dict[bytes, float]:
        """Commit events at *per_s* for *for_s* seconds; return the time of each commit by event id."""
        committed: dict[bytes, float] = {}
        clients = [self._client(number, per_s / CLIENTS, for_s, committed) for number in range(CLIENTS)]
        await asyncio.gather(*clients)
        return committed

    async def _client(self, number: int, per_s: float, for_s: float, committed: dict[bytes, float]) -> None:
        url, began = self._bed.stack.environment["DATABASE_URL"], time.monotonic()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for event in range(int(per_s * for_s)):
                await asyncio.sleep(max(0.0, began + event / per_s - time.monotonic()))
                user = f"{number}-{event % CONTACTS}"
                found = await connection.execute(TRACK, [f"contact{user}@example.com", user])
                at, row = time.monotonic(), await found.fetchone()
                committed[row[0].encode() if row else b""] = at


def _of(row: Row, other: Row, figure: str) -> float:
    return round(float(row[figure] / other[figure]), 2)


def _median(runs: Sequence[Row], name: str) -> float:
    value = float(median(run[name] for run in runs))
    return round(value) if value >= 1_000 else round(value, 1)
