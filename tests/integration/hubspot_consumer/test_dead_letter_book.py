"""The book of dead letters, and their settlement, on a real Kafka."""

import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from console.dead_letters.cache import DeadLetterCache, LettersReader, NotRead
from hubspot_consumer.dead_letters import assembly
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.dead_letter import LetterFilter, SetAside, read_set_aside
from hubspot_consumer.dead_letters.resolution_writer import ResolutionWriter
from hubspot_consumer.dead_letters.resolutions import DeadAgain, Discarded, Redriven
from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.clock import SystemClock
from runtime.kafka.topics import admin_client, partitions_of
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.kafka import topic_list
from tests.kafka.dead_letters import DEBEZIUMS, headers
from tests.polling import eventually

NOW = datetime.now(UTC)


class Shelf:
    """The dead letters' topic of one test."""

    def __init__(self, bootstrap_servers: str, topics: Topics, producer: AIOKafkaProducer) -> None:
        self.options = {"bootstrap_servers": bootstrap_servers}
        self.topics = topics
        self._producer = producer

    async def put(
        self, *events: tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]], partition: int
    ) -> None:
        for key, value, marks in events:
            await self._producer.send_and_wait(
                self.topics.dead_letters, value, key, headers=list(marks), partition=partition
            )

    async def book(self) -> DeadLetterCatalogue:
        return await DeadLetterCatalogue.read(self.options, self.topics)

    def settlement(self) -> ResolutionWriter:
        return ResolutionWriter(topic_list.connection(self.options["bootstrap_servers"], self.topics))


@pytest.fixture
async def shelf(kafka: Any, topic_prefix: str) -> AsyncIterator[Shelf]:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, 3)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        yield Shelf(kafka.bootstrap_servers, topics, producer)


async def test_it_holds_each_event_once_and_reads_the_values_again(shelf: Shelf) -> None:
    ada, large = b"ada@example.com", b"x" * 900_000
    await shelf.put((ada, b"1", headers("1")), (ada, b"2", headers("2")), (ada, None, headers("1")), partition=0)
    await shelf.put((b"\xff", b"\xfe", []), (None, large, headers("", offset=7)), partition=1)
    await shelf.put((b"bob@example.com", b'{"a": null}', DEBEZIUMS), partition=2)

    book = await shelf.book()

    assert {letter.ids for letter in book.letters} == {("0-0", "0-2"), ("0-1",), ("1-0",), ("1-1",), ("2-0",)}
    values = {letter.id: value async for letter, value in book.values(book.open())}
    assert values == {"0-0": b"1", "0-1": b"2", "1-0": b"\xfe", "1-1": large, "2-0": b'{"a": null}'}
    second = book.of_id("0-2")
    assert second is not None
    assert [value async for _, value in book.values([second])] == [b"1"]
    assert book.of_id("0-3") is None


def of_page(cache: DeadLetterCache) -> list[str]:
    return [letter.id for letter in cache.shelves.page(LetterFilter(), 9).letters]


async def test_pages_read_only_what_was_set_aside_or_settled_since(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def read_one(record: Any, topics: Topics) -> SetAside:
        assert threading.current_thread() is not threading.main_thread()
        read.append(f"{record.partition}-{record.offset}")
        return read_set_aside(record, topics)

    monkeypatch.setattr(assembly, "read_set_aside", read_one)
    reader = LettersReader(shelf.options, shelf.topics, SystemClock())
    await shelf.put((b"ada@example.com", b"1", headers("1")), partition=0)
    first = await reader.letters()
    assert (await reader.letters()).shelves is first.shelves

    await shelf.put((b"bob@example.com", b"2", headers("2")), partition=1)
    await shelf.put((b"ada@example.com", b"3", headers("3")), partition=0)
    second = await reader.letters()
    assert [set(of_page(each)) for each in (first, second)] == [{"0-0"}, {"0-0", "0-1", "1-0"}]
    assert sorted(read) == ["0-0", "0-1", "1-0"]

    settlement = shelf.settlement()
    await settlement.resolve((await shelf.book()).open()[:1], Discarded(at=NOW, note="so"))
    await settlement.stop()
    read.clear()
    third = await reader.letters()
    assert set(of_page(third)) == {"0-1", "1-0"}
    assert (read, (await reader.letters()).shelves is third.shelves) == ([], True)
    found = await reader.of_id("1-0")
    assert found is not None
    assert (found[0].event_id, found[1].value) == ("2", b"2")
    assert await reader.of_id("1-1") is None
    await reader.stop()


async def test_what_kafka_deletes_goes_from_the_page_and_a_topic_that_is_made_anew_is_read_anew(shelf: Shelf) -> None:
    reader = LettersReader(shelf.options, shelf.topics, SystemClock())
    await shelf.put(*[(b"ada@example.com", b"1", headers(str(number))) for number in range(4)], partition=0)
    await shelf.put((b"bob@example.com", b"2", headers("9")), partition=1)
    assert len(of_page(await reader.letters())) == 5

    async with admin_client(shelf.options) as admin:
        await admin.delete_records({TopicPartition(shelf.topics.dead_letters, 0): RecordsToDelete(3)})
    assert set(of_page(await reader.letters())) == {"0-3", "1-0"}

    async with admin_client(shelf.options) as admin:
        await admin.delete_topics([shelf.topics.dead_letters])

    async def gone() -> bool:
        return not await partitions_of(shelf.options, [shelf.topics.dead_letters])

    await eventually(gone, saying="the topic is deleted")
    with pytest.raises(NotRead, match="no dead letters' topic"):
        await reader.letters()
    await create_topics(shelf.options["bootstrap_servers"], shelf.topics, 3)
    await shelf.put(*[(b"eve@example.com", b"3", headers(str(number))) for number in range(6)], partition=0)

    assert set(of_page(await reader.letters())) == {f"0-{number}" for number in range(6)}
    await reader.stop()


async def test_without_dead_letters_it_is_empty(shelf: Shelf) -> None:
    assert (await shelf.book()).letters == []


async def test_without_the_topic_it_says_what_to_run(shelf: Shelf) -> None:
    with pytest.raises(TopicsMissing, match=r"no dead letters' topic none\.dead_letters: run `python -m producer top"):
        await DeadLetterCatalogue.read(shelf.options, Topics("none."))


async def test_what_is_settled_is_not_open_any_more_and_of_an_event_set_aside_twice_both_are(shelf: Shelf) -> None:
    ada = b"ada@example.com"
    await shelf.put(*[(ada, b"{}", headers(name, offset=int(name))) for name in ("1", "2", "3", "1", "4")], partition=1)
    before = await shelf.book()
    one, two, three, _ = before.letters
    settlement = shelf.settlement()

    await settlement.resolve([one], Redriven(at=NOW, run="r1"))
    await settlement.resolve([two], Discarded(at=NOW, note="a test"))
    await settlement.resolve([three], DeadAgain(at=NOW, reason="rejected_by_hubspot", detail="400", attempts=2))
    await settlement.stop()

    after = await shelf.book()
    assert [letter.id for letter in after.open()] == ["1-2", "1-4"]
    assert [letter.state for letter in after.letters] == ["redriven", "discarded", "dead", "dead"]
    assert [letter.id for letter in after.open(LetterFilter(states=frozenset({"discarded"})))] == ["1-1"]
    assert {place[2] for place in after.not_in_effect()} == {2, 3, 4}
    assert before.open() == list(before.letters)


async def test_many_are_read_in_one_pass_and_the_few_without_the_others(shelf: Shelf) -> None:
    batch = [(b"k", str(number).encode(), headers(str(number))) for number in range(3_000)]
    await shelf.put(*batch, partition=0)
    book = await shelf.book()
    few = [book.letters[number] for number in (2_999, 5, 1_200)]

    assert {value async for _, value in book.values(few)} == {b"5", b"1200", b"2999"}
    assert len({value async for _, value in book.values(book.open())}) == 3_000
