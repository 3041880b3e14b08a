"""Reading the book for pages: once for all that ask, and an older one, with its time, while that takes long."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from console.dead_letters import cache as letters_module
from console.dead_letters.cache import LettersReader, NotRead, Watermarks
from console.dead_letters.groups import Group, groups_of
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.kafka.lag import TopicsMissing
from schemas.topics import Topics
from tests.clock import OwnedClock


class Shelf:
    """Where books are read, each when it is let."""

    def __init__(self) -> None:
        self.clock = OwnedClock()
        self.reader = LettersReader({}, Topics(), self.clock)
        self.let, self.began = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None
        self.readings = 0
        self.watermarks: Watermarks = {("dead_letters", 0): (0, 7)}
        self.arranging: list[threading.Thread] = []

    async def watermarks_of(self, _: object, names: Collection[str]) -> Watermarks:
        assert set(names) == {Topics().dead_letters, Topics().resolutions}
        return self.watermarks

    def groups_of(self, letters: Sequence[Letter]) -> list[Group]:
        self.arranging.append(threading.current_thread())
        return groups_of(letters)

    def add_one(self) -> None:
        self.watermarks = {**self.watermarks, ("resolutions", 0): (0, len(self.watermarks))}

    async def read(self, *_: object) -> DeadLetterCatalogue:
        self.readings += 1
        self.began.set()
        await self.let.wait()
        if self.fault is not None:
            raise self.fault
        return DeadLetterCatalogue({}, Topics(), [])


@pytest.fixture
async def shelf(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    made = Shelf()
    monkeypatch.setattr(DeadLetterCatalogue, "read", made.read)
    monkeypatch.setattr(letters_module, "WAIT_S", 0.05)
    monkeypatch.setattr(letters_module, "watermarks_of", made.watermarks_of)
    monkeypatch.setattr(letters_module, "groups_of", made.groups_of)
    yield made
    await made.reader.stop()


async def test_all_that_ask_meanwhile_share_one_reading_and_who_asks_later_has_a_newer_one(shelf: Shelf) -> None:
    asked = [asyncio.create_task(shelf.reader.letters()) for _ in range(3)]
    await asyncio.sleep(0)
    shelf.let.set()
    first, *others = await asyncio.gather(*asked)
    shelf.add_one()

    later = await shelf.reader.letters()

    assert all(other is first for other in others)
    assert (shelf.readings, later is first) == (2, False)


async def test_as_long_as_the_topics_end_where_they_did_the_same_book_is_told_as_of_now(shelf: Shelf) -> None:
    shelf.let.set()
    first = await shelf.reader.letters()
    shelf.clock.advance(60)

    again = await shelf.reader.letters()

    assert (shelf.readings, again.catalogue is first.catalogue, again.groups is first.groups) == (1, True, True)
    assert again.at == first.at + timedelta(seconds=60)
    shelf.add_one()
    assert (await shelf.reader.letters()).catalogue is not first.catalogue
    assert shelf.readings == 2


async def test_what_comes_while_the_book_is_read_is_read_by_the_next_page(shelf: Shelf) -> None:
    asked = asyncio.create_task(shelf.reader.letters())
    await shelf.began.wait()
    shelf.add_one()
    shelf.let.set()
    await asked

    await shelf.reader.letters()

    assert shelf.readings == 2


async def test_each_book_is_arranged_once_and_no_page_waits_for_it_meanwhile(shelf: Shelf) -> None:
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


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (KafkaConnectionError(), "Kafka does not answer"),
        (OSError(), "Kafka does not answer"),
        (TopicsMissing("no dead letters' topic: run"), "no dead letters' topic"),
    ],
)
async def test_what_can_not_be_read_is_told_and_tried_again_by_the_next_page(
    shelf: Shelf, fault: Any, words: str
) -> None:
    shelf.fault = fault
    shelf.let.set()
    for _ in range(2):
        with pytest.raises(NotRead, match=words):
            await shelf.reader.letters()

    shelf.fault = None
    assert (await shelf.reader.letters()).catalogue.letters == []
