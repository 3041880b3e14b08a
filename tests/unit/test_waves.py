"""Waves: a contact's rows in order, in as few rounds as that takes."""

import itertools
from collections import defaultdict

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from producer.waves import Row, partition_of, waves

KEYS = st.none() | st.sampled_from(["ada", "grace", "lena"])
ROWS = st.lists(st.tuples(KEYS, st.sampled_from("abc")), max_size=60).map(
    lambda drawn: [
        Row(position, f"id{position}", key, topic, position, "{}", None) for position, (key, topic) in enumerate(drawn)
    ]
)


@given(ROWS, st.integers(1, 5))
def test_every_row_travels_once_in_its_contacts_order(rows: list[Row], partitions: int) -> None:
    sent = [
        (number, place, row)
        for number, wave in enumerate(waves(rows, lambda row: row.type, partitions))
        for place, together in wave.items()
        for row in together
    ]

    assert sorted((row for _, _, row in sent), key=lambda row: row.position) == rows
    assert all(place == (row.type, partition_of(row, partitions)) for _, place, row in sent)
    for key in {row.key for row in rows if row.key}:
        of_contact = [(number, place, row.position) for number, place, row in sent if row.key == key]
        for (wave, place, position), (next_wave, next_place, next_position) in itertools.pairwise(of_contact):
            assert position < next_position
            assert wave < next_wave or place == next_place


@given(ROWS)
def test_there_are_as_few_waves_as_the_busiest_contact_changes_topics(rows: list[Row]) -> None:
    topics: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.key and topics[row.key][-1:] != [row.type]:
            topics[row.key].append(row.type)
    fewest = max((len(changes) for changes in topics.values()), default=1 if rows else 0)

    assert len(list(waves(rows, lambda row: row.type, 3))) == fewest


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 100))
def test_the_partition_is_the_one_of_kafkas_clients(key: str, partitions: int) -> None:
    numbers = list(range(partitions))

    chosen = partition_of(Row(1, "id", key, "a", 1, "{}", None), partitions)

    assert chosen == DefaultPartitioner()(key.encode(), numbers, numbers)
