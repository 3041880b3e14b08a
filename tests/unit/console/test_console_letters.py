"""Reading dead letters for pages: once for all that ask, and an older reading, with its time, while that takes long."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from console.dead_letters import cache as letters_module
from console.dead_letters.cache import ANEW_AFTER, LettersReader, NotRead
from console.dead_letters.shelves import Shelves
from hubspot_consumer.dead_letters.assembly import Assembly, Change
from hubspot_consumer.dead_letters.reader import TopicMadeAnew
from hubspot_consumer.kafka.lag import TopicsMissing
from schemas.topics import Topics
from tests.clock import OwnedClock
from tests.kafka.dead_letters import as_read, headers


class Shelf:
    """The topics, from which readings take what is new, each when it is let."""

    def __init__(self) -> None:
        self.clock = OwnedClock()
        self.reader = LettersReader({}, Topics(), self.clock)
        self.let, self.began = asyncio.Event(), asyncio.Event()
        self.faults: list[Exception] = []
        self.readings = 0
        self.opened: list[Reading] = []
        self.records = [as_read(0, headers=headers("0"))]
        self.arranging: list[threading.Thread] = []

    def add_one(self) -> None:
        number = len(self.records)
        self.records.append(as_read(number, headers=headers(str(number))))

    def open(self, *_: object) -> "Reading":
        self.opened.append(Reading(self))
        return self.opened[-1]

    async def shown(self) -> int:
        """Return how many dead letters a page shows."""
        return len((await self.reader.letters()).shelves.groups[0].times)


class Reading:
    """Stands for the reader of the topics."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.assembly = Assembly(Topics())
        self.stopped = False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True

    async def catch_up(self) -> list[Change]:
        self.shelf.readings += 1
        self.shelf.began.set()
        there = list(self.shelf.records)
        await self.shelf.let.wait()
        if self.shelf.faults:
            raise self.shelf.faults.pop(0)
        for record in there:
            self.assembly.set_aside(record)
        return self.assembly.changes()


@pytest.fixture
async def shelf(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    made, changed = Shelf(), Shelves.changed

    def arranged(shelves: Shelves, changes: Iterable[Change]) -> Shelves:
        made.arranging.append(threading.current_thread())
        return changed(shelves, changes)

    monkeypatch.setattr(letters_module, "DeadLetterReader", made.open)
    monkeypatch.setattr(letters_module, "WAIT_S", 0.05)
    monkeypatch.setattr(Shelves, "changed", arranged)
    yield made
    await made.reader.stop()
    assert all(reading.stopped for reading in made.opened)


async def test_all_that_ask_meanwhile_share_one_reading_and_who_asks_later_has_a_newer_one(shelf: Shelf) -> None:
    asked = [asyncio.create_task(shelf.reader.letters()) for _ in range(3)]
    await asyncio.sleep(0)
    shelf.let.set()
    first, *others = await asyncio.gather(*asked)
    shelf.add_one()

    later = await shelf.reader.letters()

    assert all(other is first for other in others)
    assert (shelf.readings, later is first, len(shelf.opened)) == (2, False, 1)


async def test_as_long_as_nothing_comes_the_same_shelves_are_told_as_of_now(shelf: Shelf) -> None:
    shelf.let.set()
    first = await shelf.reader.letters()
    shelf.clock.advance(60)

    again = await shelf.reader.letters()

    assert again.shelves is first.shelves
    assert again.at == first.at + timedelta(seconds=60)
    shelf.add_one()
    assert [await shelf.shown(), len(first.shelves.groups[0].times)] == [2, 1]


async def test_what_comes_during_a_reading_is_read_by_the_next_page(shelf: Shelf) -> None:
    asked = asyncio.create_task(shelf.reader.letters())
    await shelf.began.wait()
    shelf.add_one()
    shelf.let.set()
    assert len((await asked).shelves.groups[0].times) == 1

    assert await shelf.shown() == 2


async def test_shelves_are_arranged_once_and_no_page_waits_for_it_meanwhile(shelf: Shelf) -> None:
    shelf.let.set()
    for _ in range(3):
        await shelf.reader.letters()

    [thread] = shelf.arranging
    assert thread is not threading.main_thread()


async def test_while_it_takes_long_an_older_one_is_shown_with_its_time(shelf: Shelf) -> None:
    with pytest.raises(NotRead, match="still being read"):
        await shelf.reader.letters()
    shelf.let.set()
    first = await shelf.reader.letters()
    shelf.let.clear()
    shelf.add_one()
    shelf.clock.advance(60)

    older = await shelf.reader.letters()

    assert (older.at, older.read_again, first.read_again) == (first.at, True, False)
    shelf.let.set()
    assert (await shelf.reader.letters()).at == first.at + timedelta(seconds=60)


async def test_everything_is_read_anew_after_half_a_day_and_of_topics_that_were_made_anew(shelf: Shelf) -> None:
    shelf.let.set()
    assert await shelf.shown() == 1
    shelf.clock.advance(ANEW_AFTER.total_seconds() + 1)
    shelf.add_one()
    assert (await shelf.shown(), len(shelf.opened)) == (2, 2)

    shelf.faults = [TopicMadeAnew()]
    shelf.records = shelf.records[1:]

    assert (await shelf.shown(), len(shelf.opened)) == (1, 3)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (KafkaConnectionError(), "Kafka does not answer"),
        (OSError(), "Kafka does not answer"),
        (TimeoutError(), "Kafka does not answer"),
        (TopicsMissing("no dead letters' topic: run"), "no dead letters' topic"),
    ],
)
async def test_what_can_not_be_read_is_told_and_tried_again_by_the_next_page(
    shelf: Shelf, fault: Any, words: str
) -> None:
    shelf.faults = [fault, fault]
    shelf.let.set()
    for _ in range(2):
        with pytest.raises(NotRead, match=words):
            await shelf.reader.letters()

    assert await shelf.shown() == 1
