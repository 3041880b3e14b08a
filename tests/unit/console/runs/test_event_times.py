"""Events by time, counted by the offsets of times."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from console.runs import event_times
from console.runs.event_times import LOOK_AGAIN_S, MOST_BARS, EventTimes, NotCounted
from console.runs.range_picture import HEIGHT, WIDTH, RangePicture
from schemas.topics import Topics
from tests.clock import START, OwnedClock

HOUR = timedelta(hours=1)
EARNED, REDEEMED = (Topics().of(name) for name in ("nova_earned", "nova_redeemed"))
PARTITIONS = [TopicPartition(topic, number) for topic in (EARNED, REDEEMED) for number in range(2)]


class Broker:
    """Kafka with a record of each partition at each of *times*, without the first ones that it has *deleted*."""

    def __init__(self, times: Sequence[datetime]) -> None:
        self.times = list(times)
        self.there = PARTITIONS
        self.deleted = 0
        self.asked: list[datetime] = []
        self.opened = self.stopped = 0
        self.fault: Exception | None = None

    def open(self, _options: Any) -> "Broker":
        self.opened += 1
        return self

    async def partitions(self, _options: Any, names: Collection[str]) -> list[TopicPartition]:
        return [one for one in self.there if one.topic in names]

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped += 1

    async def starts(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.fault is not None:
            raise self.fault
        return dict.fromkeys(partitions, self.deleted)

    async def since_each(
        self, moments: Sequence[datetime], partitions: Collection[TopicPartition]
    ) -> list[dict[TopicPartition, int]]:
        self.asked += moments
        found = (sum(time < moment for time in self.times) for moment in moments)
        return [dict.fromkeys(partitions, max(at, self.deleted)) for at in found]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """An event of each partition in the middle of each of the last hundred hours."""
    made = Broker([START - HOUR * each + HOUR / 2 for each in range(100, 0, -1)])
    monkeypatch.setattr(event_times, "TopicReader", made.open)
    monkeypatch.setattr(event_times, "partitions_of", made.partitions)
    return made


@pytest.fixture
def times(broker: Broker) -> EventTimes:
    return EventTimes({}, Topics(), OwnedClock())


async def test_a_range_is_counted_by_type_and_shown_among_the_events_around_it(times: EventTimes) -> None:
    counts = await times.count(START - 24 * HOUR, START - 12 * HOUR, [])

    assert counts.by_type["nova_earned"] == counts.by_type["nova_redeemed"] == 24
    assert (counts.chosen, counts.by_type["driver_signed_up"]) == (48, 0)
    # Half of the range before it, and half of it after it.
    assert (counts.borders[0], counts.borders[-1], counts.step) == (START - 30 * HOUR, START - 6 * HOUR, HOUR / 2)
    assert sum(counts.counts) == 24 * 4
    assert counts.counts[:4] == [0, 4, 0, 4]


async def test_only_the_chosen_types_are_counted(times: EventTimes) -> None:
    counts = await times.count(START - 24 * HOUR, START, ["nova_earned"])

    assert (counts.by_type, sum(counts.counts)) == ({"nova_earned": 48}, 72)
    assert counts.borders[-1] == START


async def test_without_a_start_the_shortest_time_that_has_all_events_is_shown(times: EventTimes) -> None:
    counts = await times.count(None, START, [])

    assert counts.chosen == sum(counts.counts) == 400
    assert counts.since == START - 168 * HOUR
    assert len(counts.counts) <= MOST_BARS


async def test_the_end_is_in_the_range_to_the_millisecond(times: EventTimes, broker: Broker) -> None:
    end = broker.times[-1]

    assert (await times.count(end - HOUR / 4, end, ["nova_earned"])).chosen == 2
    assert (await times.count(end - HOUR / 4, end - timedelta(milliseconds=1), ["nova_earned"])).chosen == 0


async def test_what_kafka_has_deleted_is_not_counted_also_where_offsets_are_remembered(
    times: EventTimes, broker: Broker
) -> None:
    before = await times.count(START - 24 * HOUR, START, ["nova_earned"])
    asked = len(broker.asked)
    broker.deleted = 90

    after = await times.count(START - 24 * HOUR, START, ["nova_earned"])

    assert (before.chosen, after.chosen) == (48, 20)
    # Only the newest times are looked up again.
    assert all(moment > START - HOUR / 2 for moment in broker.asked[asked:])


@pytest.mark.parametrize("fault", [KafkaConnectionError(), OSError(), TimeoutError()])
async def test_a_kafka_that_is_away_is_told_and_asked_anew(times: EventTimes, broker: Broker, fault: Exception) -> None:
    broker.fault = fault
    with pytest.raises(NotCounted, match="Kafka does not answer"):
        await times.count(None, START, [])
    broker.fault = None

    assert (await times.count(None, START, [])).chosen == 400
    assert (broker.opened, broker.stopped) == (2, 1)


async def test_requests_that_wait_for_one_another_wait_no_longer_together_than_one(
    times: EventTimes, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def silent(_: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(broker, "starts", silent)
    monkeypatch.setattr(event_times, "ANSWERS_WITHIN_S", 0.1)

    answers = await asyncio.gather(*(times.count(None, START, []) for _ in range(6)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {NotCounted}
    # One after the other, each would have asked a Kafka that does not answer.
    assert asked <= 2


async def test_partitions_that_were_added_are_counted_after_a_while(broker: Broker) -> None:
    clock = OwnedClock()
    times = EventTimes({}, Topics(), clock)
    broker.there = PARTITIONS[:1]
    assert (await times.count(None, START, [])).chosen == 100
    broker.there = PARTITIONS
    assert (await times.count(None, START, [])).chosen == 100

    clock.advance(LOOK_AGAIN_S + 1)

    assert (await times.count(None, START, [])).chosen == 400


async def test_without_topics_the_command_is_named_that_makes_them(times: EventTimes, broker: Broker) -> None:
    broker.there = []

    with pytest.raises(NotCounted, match="python -m producer topics"):
        await times.count(None, START, [])


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime.min.replace(tzinfo=START.tzinfo), START),
        (START + 9 * HOUR, START - 9 * HOUR),
        (START, START),
        (START - timedelta(milliseconds=1), datetime.max.replace(tzinfo=START.tzinfo)),
        (None, datetime.min.replace(tzinfo=START.tzinfo)),
    ],
)
async def test_whatever_the_range_there_are_bars_and_the_range_is_among_them(
    times: EventTimes, since: datetime | None, until: datetime
) -> None:
    picture = RangePicture(await times.count(since, until, []))

    left, width = picture.range
    assert 1 <= len(picture.bars) <= MOST_BARS + 1
    assert 0 <= left <= WIDTH
    assert 0 < width <= WIDTH


async def test_the_highest_bar_fills_the_picture_and_bars_in_the_range_are_told_apart(times: EventTimes) -> None:
    picture = RangePicture(await times.count(START - 24 * HOUR, START - 12 * HOUR, []))

    assert {bar.height for bar in picture.bars} == {0, HEIGHT}
    assert [bar.begin for bar in picture.bars if bar.chosen] == [
        START - 24 * HOUR + each * HOUR / 2 for each in range(25)
    ]
    left, width = picture.range
    assert (left, width) == (WIDTH / 4, WIDTH / 2)
    assert (picture.most, picture.shown, picture.by_type) == (4, 96, {"nova_earned": 24, "nova_redeemed": 24})
