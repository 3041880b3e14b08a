"""Whatever is read twice, killed in between, deleted by Kafka or by somebody: the index is what Kafka holds."""

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.contacts.index import Index, Reached
from console.contacts.index_rows import Known, Rows, rows_of
from hubspot_consumer.dead_letters.resolutions import Redriven
from hubspot_consumer.kafka.records import Partition
from tests.kafka.kafka_records import (
    BEGAN,
    TOPICS,
    KafkaRecord,
    event_record,
    letter_record,
    receipt_record,
    resolution_record,
)

PARTITIONS = [(TOPICS.of("nova_earned"), 0), (TOPICS.of("nova_redeemed"), 1), (TOPICS.deliveries, 0)]
RESOLUTIONS = (TOPICS.resolutions, 0)
PARTITIONS += [(TOPICS.dead_letters, 0), RESOLUTIONS]
SOME = st.sampled_from(PARTITIONS)
NUMBER = st.integers(1, 4)
STEPS = st.one_of(
    st.tuples(st.just("write"), SOME, NUMBER),
    st.tuples(st.just("read"), SOME, NUMBER),
    st.tuples(st.just("read_and_die"), SOME, NUMBER),
    st.tuples(st.just("repeat"), SOME, NUMBER),
    st.tuples(st.just("retain"), SOME, NUMBER),
    st.tuples(st.just("make_anew"), SOME, NUMBER),
    st.tuples(st.just("reopen"), SOME, NUMBER),
    st.tuples(st.just("delete"), SOME, NUMBER),
)


class Died(Exception):
    """In the middle of a transaction."""


class DyingRows(Rows):
    def write(self, connection: Any, known: Mapping[Partition, Known]) -> None:
        super().write(connection, known)
        raise Died


class Topic:
    """A partition of Kafka's: its records, and the first that is not deleted."""

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.records: list[KafkaRecord] = []
        self.first = 0

    def write(self, partition: Partition, number: int) -> None:
        for _ in range(number):
            offset = len(self.records)
            self.records.append(record_of(partition, offset, self.generation))


def record_of(partition: Partition, offset: int, generation: int) -> KafkaRecord:
    event = event_record(sequence=offset + 1, offset=offset, email=f"g{generation}@example.com")
    topic, number = partition
    letter = letter_record(event, offset=offset)
    made = {
        TOPICS.deliveries: receipt_record(event, offset=offset),
        TOPICS.dead_letters: letter,
        # Several are of the same dead letter: the newest counts.
        TOPICS.resolutions: resolution_record(
            letter._replace(offset=offset % 3), Redriven(at=BEGAN, run=f"{generation}-{offset}"), offset
        ),
    }
    return made.get(topic, event)._replace(topic=topic, partition=number, offset=offset)


class World:
    """Kafka, an indexer that does as it is told, and the index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka = {partition: Topic() for partition in PARTITIONS}
        self.indexes = [Index(folder)]
        self.index.open()

    @property
    def index(self) -> Index:
        return self.indexes[-1]

    def close(self) -> None:
        for index in self.indexes:
            index.close()

    def step(self, name: str, partition: Partition, number: int) -> None:
        topic = self.kafka[partition]
        match name:
            case "write":
                topic.write(partition, number)
            case "read":
                self.read(partition, number, Rows)
            case "read_and_die":
                self.read(partition, number, DyingRows)
                self.reopen()
            case "repeat":
                # Not to where it was: an older record may be of what a newer one has replaced.
                self.read(partition, number, Rows, back=2 * number)
            case "retain":
                topic.first = min(len(topic.records), topic.first + number)
                self.index.forget({partition: topic.first})
            case "make_anew":
                self.kafka[partition] = Topic(topic.generation + 1)
                self.index.forget_topic(partition[0])
            case "reopen":
                self.reopen()
            case "delete":
                self.index.file.unlink()
                assert not self.index.is_there
                self.reopen()

    def reopen(self) -> None:
        # The one before stays open until the test is over: a process that was killed closes nothing.
        self.indexes.append(Index(self.folder))
        self.index.open()

    def read(self, partition: Partition, number: int, kind: type[Rows], *, back: int = 0) -> int:
        topic = self.kafka[partition]
        reached = self.index.reached().get(partition, Reached(0, 0, -1))
        begin = max(reached.next - back, topic.first)
        records = topic.records[begin : begin + number]
        if records:
            after = Reached(topic.first, records[-1].offset + 1, records[-1].timestamp)
            with contextlib.suppress(Died):
                self.index.add(kind(rows_of(records, TOPICS).tables), {partition: after})
        return len(records)

    def read_to_the_end(self) -> None:
        for partition in PARTITIONS:
            while self.read(partition, 3, Rows):
                pass

    def expected(self) -> dict[str, set[tuple[Any, ...]]]:
        expected: dict[str, set[tuple[Any, ...]]] = {"events": set(), "receipts": set(), "letters": set()}
        newest: dict[str, tuple[Any, ...]] = {}
        for (topic, number), kept in self.kafka.items():
            for record in kept.records[kept.first :]:
                [(table, [row])] = [found for found in rows_of([record], TOPICS).tables.items() if found[1]]
                if table == "resolutions":
                    newest[row[2]] = (topic, number, *row[1:])
                else:
                    expected[table].add((topic, number, *row[1:]))
        return {**expected, "resolutions": set(newest.values())}

    def found(self) -> dict[str, list[tuple[Any, ...]]]:
        with self.index.reading() as connection:
            query = "SELECT topic, number, {}.* FROM {} JOIN partitions ON partitions.id = partition"
            tables = ("events", "receipts", "letters", "resolutions")
            rows = {table: connection.execute(query.format(table, table)).fetchall() for table in tables}
        return {table: [(*row[:2], *row[3:]) for row in found] for table, found in rows.items()}


@given(st.lists(STEPS, max_size=40))
@example([("write", RESOLUTIONS, 4), ("read", RESOLUTIONS, 4), ("repeat", RESOLUTIONS, 2)])
@settings(max_examples=80)
def test_whatever_happens_on_the_way_the_index_is_what_kafka_holds(steps: list[tuple[str, Partition, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(World(Path(folder))) as world:
        for step in steps:
            world.step(*step)
        world.read_to_the_end()

        found, expected = world.found(), world.expected()
        assert {table: set(rows) for table, rows in found.items()} == expected
        assert {table: len(rows) for table, rows in found.items()} == {
            table: len(rows) for table, rows in expected.items()
        }


def test_the_model_itself_tells_a_row_that_is_missing(tmp_path: Path) -> None:
    with contextlib.closing(World(tmp_path)) as world:
        world.step("write", PARTITIONS[0], 2)
        world.step("read", PARTITIONS[0], 1)

        with pytest.raises(AssertionError):
            assert {table: set(rows) for table, rows in world.found().items()} == world.expected()
