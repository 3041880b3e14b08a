"""What the relay makes of faults: when it is well again, and how long it waits."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Self, cast

import psycopg
import pytest
from aiokafka.errors import KafkaError

from producer.relay.lanes import Lanes, Place
from producer.relay.lock import Holder
from producer.relay.publisher import Publisher
from producer.relay.relay import Relay
from producer.relay.row import Row
from producer.relay.sender import NotActive, Sender
from producer.telemetry import Telemetry
from runtime.health import Health
from tests.clock import run_fast

REFUSALS = [
    psycopg.Error("no"),
    psycopg.InterfaceError("no"),
    psycopg.errors.ReadOnlySqlTransaction("no"),
    psycopg.errors.InsufficientPrivilege("no"),
    psycopg.errors.UndefinedTable("no"),
    psycopg.errors.DiskFull("no"),
    psycopg.errors.NotNullViolation("no"),
]
ROWS = [Row(position, "id", "ada@example.com", "nova_earned", position, "{}", None) for position in (1, 2)]
FAULT = KafkaError("no")


class TwoRows:
    """An outbox of two rows, which are read one by one, and whose connection never ends."""

    answers = True

    def __init__(self) -> None:
        self._left = list(ROWS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def become_active(self) -> bool:
        return True

    async def fall_asleep(self) -> bool:
        return True

    async def _nothing(self) -> None:
        pass

    beat = forget = raise_low_watermark = wake_up = _nothing

    async def notified(self, within_s: float) -> None:
        await asyncio.sleep(within_s)

    def rewind(self) -> None:
        pass

    async def head(self, _rows: int, *, without: Iterable[int]) -> list[Row]:
        held = set(without)
        return [row for row in self._left if row.position not in held][:1]

    async def delete(self, positions: Sequence[int]) -> None:
        self._left = [row for row in self._left if row.position not in positions]


class CommittedLate(TwoRows):
    """Its rows are committed just before the relay sleeps: their writer notifies nobody. *stop* is set at their end."""

    def __init__(self, stop: asyncio.Event) -> None:
        super().__init__()
        self._late, self._left = self._left, []
        self._stop = stop

    async def fall_asleep(self) -> bool:
        self._left, self._late = self._left + self._late, []
        return True

    async def delete(self, positions: Sequence[int]) -> None:
        await super().delete(positions)
        if not self._left:
            self._stop.set()


class Scripted:
    """A sender whose batches end as *outcomes* say, one after the other."""

    unpublishable: frozenset[int] = frozenset()

    def __init__(self, outcomes: Iterable[Exception | None]) -> None:
        self._outcomes = iter(outcomes)

    async def open(self, _may_publish: Callable[[], bool]) -> int:
        return 1

    async def close(self) -> None:
        pass

    def topic_of(self, row: Row) -> str:
        return row.type

    async def send(self, _place: Place, rows: Sequence[Row]) -> int:
        if (outcome := next(self._outcomes)) is not None:
            raise outcome
        return len(rows)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After how many failures in a row the relay waited, each time."""
    counted: list[int] = []

    def backoff(failures: int, *_: object, **__: object) -> float:
        counted.append(failures)
        return 1.0

    monkeypatch.setattr("producer.relay.relay.backoff_s", backoff)
    return counted


class Remembering(Health):
    """Health that remembers which parts became well again."""

    def __init__(self) -> None:
        super().__init__()
        self.mended: list[str] = []

    def well(self, part: str) -> None:
        if part in self.unwell:
            self.mended.append(part)
        super().well(part)


def health_after(
    outcomes: Iterable[Exception | None],
    outbox: Callable[[], TwoRows] = TwoRows,
    sending: Callable[[Iterable[Exception | None]], Scripted] = Scripted,
) -> Remembering:
    """Let a relay run for a minute on a simulated clock, and return its health."""
    health = Remembering()

    async def connect() -> Any:
        return outbox()

    async def run() -> None:
        stop, sender = asyncio.Event(), cast("Sender", sending(outcomes))
        relay = Relay(connect, sender, health=health, telemetry=Telemetry(), jitter=random.Random(1))
        running = asyncio.create_task(relay.run(stop))
        await asyncio.sleep(60)
        stop.set()
        await running

    run_fast(run())
    return health


def test_a_relay_that_could_not_tell_whether_it_is_active_is_well_again_when_the_database_answers(
    waits: list[int],
) -> None:
    assert health_after([NotActive(), None, None]).unwell == {}
    assert waits == [1]


def test_failures_in_a_row_are_counted_until_a_row_is_published(waits: list[int]) -> None:
    health_after([FAULT, FAULT, None, FAULT, None])

    assert waits == [1, 2, 1]


def test_rows_that_were_read_before_a_fault_of_kafka_are_published_before_later_ones(waits: list[int]) -> None:
    class ReadOnce(TwoRows):
        """Its rows are read one by one, each once, and again after it is rewound."""

        def __init__(self) -> None:
            super().__init__()
            self._read = set[int]()

        def rewind(self, *_: int) -> None:
            self._read.clear()

        async def head(self, _rows: int, *, without: Iterable[int]) -> list[Row]:
            found = await super().head(2, without=self._read.union(without))
            self._read.update(row.position for row in found)
            return found

    published = list[int]()

    class Noting(Scripted):
        async def send(self, place: Place, rows: Sequence[Row]) -> int:
            sent = await super().send(place, rows)
            published.extend(row.position for row in rows)
            return sent

    health_after([FAULT, None, None], ReadOnce, Noting)

    assert published == [1, 2]
    assert waits == [1]


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_whatever_the_database_answers_to_a_connection_the_relay_tries_again(
    refusal: psycopg.Error, waits: list[int]
) -> None:
    answers = iter([refusal, refusal])

    def outbox() -> TwoRows:
        for answer in answers:
            raise answer
        return TwoRows()

    assert health_after([None, None], outbox).unwell == {}
    assert waits == [1, 2]


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
def test_a_database_that_takes_connections_and_refuses_deletions_is_unwell_until_rows_are_deleted(
    refusal: psycopg.Error, waits: list[int]
) -> None:
    answers = iter([refusal, refusal])

    class Refusing(TwoRows):
        async def delete(self, positions: Sequence[int]) -> None:
            for answer in answers:
                raise answer
            await super().delete(positions)

    # Both rows are published before a deletion is refused.
    health = health_after([None] * 6, Refusing)

    assert health.unwell == {}
    assert waits == [1, 2]
    # At the first connection, and then when both rows were deleted.
    assert health.mended == ["database", "database"]


def test_what_is_not_published_is_unwell_until_it_is_although_other_rows_are(waits: list[int]) -> None:
    class TwoTopics(TwoRows):
        def __init__(self) -> None:
            super().__init__()
            self._left = [ROWS[0], ROWS[1]._replace(key="grace@example.com", type="nova_redeemed")]

        async def head(self, _rows: int, *, without: Iterable[int]) -> list[Row]:
            held = set(without)
            return [row for row in self._left if row.position not in held]

    class OneTopicIsRefused(Scripted):
        async def send(self, place: Place, rows: Sequence[Row]) -> int:
            return await super().send(place, rows) if place[0] == "nova_earned" else len(rows)

    health = health_after([FAULT] * 200, TwoTopics, OneTopicIsRefused)

    assert health.unwell == {"publishing": "KafkaError: no"}
    assert health.mended == ["database"]


@pytest.mark.parametrize("may_be_a_relay", [True, False])
def test_a_standby_is_unwell_only_while_what_is_no_relay_has_the_lock(may_be_a_relay: bool) -> None:  # noqa: FBT001 - a parameter of the test
    class Held(TwoRows):
        """An outbox whose lock is free at the third look."""

        def __init__(self) -> None:
            super().__init__()
            self._looks = 0

        async def become_active(self) -> bool:
            self._looks += 1
            return self._looks > 2

        async def depose(self) -> bool:
            return False

        async def holder(self) -> Holder:
            return Holder(7, "shop", "psql", may_be_a_relay)

    health = health_after([None] * 2, Held)

    assert health.unwell == {}
    assert ("relay_lock" in health.mended) != may_be_a_relay


async def test_rows_that_were_committed_before_the_relay_slept_are_published_without_a_notification() -> None:
    stop = asyncio.Event()
    outbox, sender = cast("Any", CommittedLate(stop)), cast("Any", Scripted(repeat(None)))
    publisher = Publisher(outbox, sender, Lanes(sender.topic_of, 12), slow_poll_s=3_600.0, goes_on=lambda _: None)

    async with asyncio.timeout(10):
        assert await publisher.run(stop) is None
