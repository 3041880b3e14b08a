"""Waves: a contact's rows in order, in as few rounds as that takes."""

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
    seen: list[Row] = []
    last: dict[str, tuple[int, tuple[str, int]]] = {}
    for number, wave in enumerate(waves(rows, lambda row: row.type, partitions)):
        for place, sent in wave.items():
            assert all((row.type, partition_of(row, partitions)) == place for row in sent)
            for row in sent:
                seen.append(row)
                if row.key is not None:
                    # In an earlier wave, or before it in the same partition.
                    assert last.get(row.key, (-1, place)) < (number, place) or last[row.key] == (number, place)
                    last[row.key] = (number, place)

    assert sorted(seen, key=lambda row: row.position) == rows
    for key in {row.key for row in rows if row.key}:
        assert [row.position for row in seen if row.key == key] == [row.position for row in rows if row.key == key]


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
