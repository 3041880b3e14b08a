"""The index's file: what it is made of, that it is made anew, and that no query reads all of it."""

import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from console.contacts.extract import Extract
from console.contacts.index import VERSION, Index, IndexAway, Reached
from console.contacts.index_rows import Known, Rows, rows_of
from hubspot_consumer.dead_letters.resolutions import Discarded
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
from tests.samples import EMAIL, envelope

ONE = event_record(sequence=1, offset=0)
LETTER = letter_record(ONE)
RECORDS = (
    ONE,
    event_record("nova_redeemed", sequence=2, offset=0),
    receipt_record(ONE, "dead_lettered"),
    LETTER,
    resolution_record(LETTER, Discarded(at=BEGAN, note="a test's")),
)


def reached(records: tuple[KafkaRecord, ...]) -> dict[tuple[str, int], Reached]:
    return {(each.topic, each.partition): Reached(0, each.offset + 1, each.timestamp) for each in records}


class Died(Exception):
    """In the middle of a transaction."""


class DyingRows(Rows):
    def write(self, connection: sqlite3.Connection, known: Mapping[Partition, Known]) -> None:
        super().write(connection, known)
        raise Died


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "console")
    index.open()
    index.add(rows_of(RECORDS, TOPICS), reached(RECORDS))
    yield index
    index.close()


def counts(index: Index) -> dict[str, int]:
    with index.reading() as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("events", "receipts", "letters", "resolutions")
        }


def test_it_is_readable_by_its_owner_alone_for_emails_are_in_it(index: Index) -> None:
    assert index.file.parent.stat().st_mode & 0o077 == 0
    for file in index.file.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_goes_on_where_it_was_when_it_is_opened_again(index: Index) -> None:
    index.close()

    with closing(Index(index.file.parent)) as again:
        again.open()

        assert counts(again) == {"events": 2, "receipts": 1, "letters": 1, "resolutions": 1}
        assert again.reached() == reached(RECORDS)


def test_a_file_of_another_version_is_made_anew(index: Index) -> None:
    index.close()
    with closing(sqlite3.connect(index.file)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION - 1}")
    with pytest.raises(IndexAway, match="another version"), index.reading():
        pass

    index.open()

    assert index.reached() == {}
    assert not any(counts(index).values())


@pytest.mark.parametrize("damage", [b"", b"this is no database", b"SQLite format 3\x00" + bytes(80)])
def test_a_damaged_file_is_made_anew(index: Index, damage: bytes) -> None:
    index.close()
    index.file.write_bytes(damage)

    index.open()

    assert index.reached() == {}
    assert not any(counts(index).values())


def test_a_file_that_somebody_deletes_is_found_missing(index: Index) -> None:
    assert index.is_there

    index.file.unlink()

    assert not index.is_there
    with pytest.raises(IndexAway), index.reading():
        pass


def test_a_file_that_somebody_replaces_is_found_to_be_another(index: Index) -> None:
    index.file.rename(index.file.with_suffix(".old"))
    with closing(Index(index.file.parent)) as other:
        other.open()

        assert other.is_there
        assert not index.is_there


def test_a_reader_sees_one_moment_while_the_index_is_written(index: Index) -> None:
    with Extract.of(index, TOPICS) as extract:
        assert extract.sequences(EMAIL, 100, 50) == [2, 1]
        three = event_record(sequence=3, offset=1)
        index.add(rows_of([three], TOPICS), reached((three,)))
        assert extract.sequences(EMAIL, 100, 50) == [2, 1]
    with Extract.of(index, TOPICS) as extract:
        assert extract.sequences(EMAIL, 100, 50) == [3, 2, 1]


def test_of_a_batch_that_is_not_finished_nothing_is_seen(index: Index) -> None:
    before = counts(index), index.reached()
    three = event_record(sequence=3, offset=1)

    with pytest.raises(Died):
        index.add(DyingRows(rows_of([three], TOPICS).tables), reached((three,)))

    assert (counts(index), index.reached()) == before


def test_a_resolution_that_is_taken_back_is_gone(index: Index) -> None:
    back = resolution_record(LETTER, Discarded(at=BEGAN, note="a test's"), offset=1)._replace(value=None)

    index.add(rows_of([back], TOPICS), reached((back,)))

    assert counts(index)["resolutions"] == 0
    with Extract.of(index, TOPICS) as extract:
        assert [letter.state for letter in extract.letters(EMAIL)] == ["dead"]


def test_records_that_no_one_can_read_are_kept_without_what_they_do_not_tell(index: Index) -> None:
    made = envelope(sequence=3)
    bad = [
        KafkaRecord(TOPICS.of("nova_earned"), 1, 0, 5, None, None),
        KafkaRecord(TOPICS.of("nova_earned"), 1, 1, 5, b"\xff\xfe", b"\x00{"),
        KafkaRecord(
            TOPICS.of("nova_earned"), 1, 2, 5, EMAIL.encode(), b'{"contact": 1, "sequence": true, "payload": []}'
        ),
        KafkaRecord(TOPICS.of("nova_earned"), 1, 3, 5, EMAIL.encode(), b'{"contact": {"external_id": "\\ud800"}}'),
        event_record(sequence=3, offset=4, partition=1, made={**made, "sequence": 10**30})._replace(headers=()),
        KafkaRecord(TOPICS.deliveries, 0, 9, 5, EMAIL.encode(), b'{"outcome": "of a newer version"}'),
        KafkaRecord(TOPICS.deliveries, 0, 10, 5, EMAIL.encode(), None),
    ]

    index.add(rows_of(bad, TOPICS), reached(tuple(bad)))

    assert counts(index)["events"] == 2 + 5
    assert counts(index)["receipts"] == 1
    with Extract.of(index, TOPICS) as extract:
        assert [each.offset for each in extract.unnumbered(EMAIL, 50)] == [2, 3, 4]


def test_no_query_of_a_page_reads_a_whole_table(index: Index) -> None:
    asked: list[str] = []
    with index.reading() as connection:
        connection.set_trace_callback(asked.append)
        extract = Extract(connection, TOPICS)
        extract.knows(EMAIL)
        extract.contacts_of("usr_1", 5)
        extract.moves(EMAIL)
        extract.sequences(EMAIL, 100, 50)
        extract.events(EMAIL, 1, 50)
        extract.unnumbered(EMAIL, 50)
        extract.receipts(EMAIL, 1, 50)
        extract.unnumbered_receipts(EMAIL, 50)
        extract.letters(EMAIL, 1, 50)
        extract.unnumbered_letters(EMAIL, 50)
        extract.stored(EMAIL)
        connection.set_trace_callback(None)
        plans = [row[3] for query in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    assert len(asked) >= 12
    assert [step for step in plans if step.startswith("SCAN")] == []
    assert [step for step in plans if "events" in step and "USING" not in step] == []


def test_what_is_asked_to_forget_is_found_by_an_index_too(index: Index) -> None:
    asked: list[str] = []
    assert index._connection is not None
    index._connection.set_trace_callback(asked.append)
    index.forget({(TOPICS.of("nova_earned"), 0): 1})
    index._connection.set_trace_callback(None)

    deletes = [query for query in asked if query.startswith("DELETE")]
    plans = [row[3] for query in deletes for row in index._connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(plans) == 4
    assert not [step for step in plans if step.startswith("SCAN")]
    assert counts(index)["events"] == 1
