"""Reading the book for pages: once for all that ask, and an older one, with its time, while that takes long."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from console import letters as letters_module
from console.letters import LettersReader, NotRead
from hubspot_consumer.reprocessing.dead_letter_book import DeadLetterBook
from hubspot_consumer.reprocessing.holding import TopicsMissing
from schemas.topics import Topics
from tests.clock import OwnedClock


class Shelf:
    """Where books are read, each when it is let."""

    def __init__(self) -> None:
        self.clock = OwnedClock()
        self.reader = LettersReader({}, Topics(), self.clock)
        self.let = asyncio.Event()
        self.fault: Exception | None = None
        self.readings = 0

    async def read(self, *_: object) -> DeadLetterBook:
        self.readings += 1
        await self.let.wait()
        if self.fault is not None:
            raise self.fault
        return DeadLetterBook({}, Topics(), [])


@pytest.fixture
async def shelf(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    made = Shelf()
    monkeypatch.setattr(DeadLetterBook, "read", made.read)
    monkeypatch.setattr(letters_module, "WAIT_S", 0.05)
    yield made
    await made.reader.stop()


async def test_all_that_ask_meanwhile_share_one_reading_and_who_asks_later_has_a_newer_one(shelf: Shelf) -> None:
    asked = [asyncio.create_task(shelf.reader.letters()) for _ in range(3)]
    await asyncio.sleep(0)
    shelf.let.set()
    first, *others = await asyncio.gather(*asked)

    later = await shelf.reader.letters()

    assert all(other is first for other in others)
    assert (shelf.readings, later is first) == (2, False)


async def test_while_it_takes_long_an_older_one_is_shown_with_its_time(shelf: Shelf) -> None:
    with pytest.raises(NotRead, match="still being read"):
        await shelf.reader.letters()
    shelf.let.set()
    first = await shelf.reader.letters()
    shelf.let.clear()
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
    assert (await shelf.reader.letters()).book.letters == []
