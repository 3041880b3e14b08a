"""The relay's lanes: a contact's rows in order, whatever is acknowledged when."""

from collections import defaultdict

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from producer.relay.lanes import Lanes, Place
from producer.relay.row import Row, partition_of

PARTITIONS = 3
KEYS = st.none() | st.sampled_from(["ada", "grace", "lena"])
ROWS = st.lists(st.tuples(KEYS, st.sampled_from("abc")), max_size=60).map(
    lambda drawn: [
        Row(position, f"id{position}", key, topic, position, "{}", None) for position, (key, topic) in enumerate(drawn)
    ]
)


def lanes() -> Lanes:
    return Lanes(lambda row: row.type, PARTITIONS)


@given(ROWS, st.data())
def test_every_row_goes_once_and_a_contacts_in_order_whenever_what_is_acknowledged(
    rows: list[Row], data: st.DataObject
) -> None:
    sorted_, unread = lanes(), list(rows)
    flying: dict[Place, list[Row]] = {}
    acknowledged: list[Row] = []
    while unread or flying or sorted_.ready:
        possible = ["read"] * bool(unread) + ["send"] * bool(sorted_.ready) + ["acknowledge"] * bool(flying)
        move = data.draw(st.sampled_from(possible))
        if move == "read":
            count = data.draw(st.integers(1, len(unread)))
            sorted_.take(unread[:count])
            del unread[:count]
        elif move == "send":
            place = data.draw(st.sampled_from([*sorted_.ready]))
            flying.setdefault(place, []).extend(sorted_.ready.pop(place))
            _may_fly(flying, acknowledged, rows)
        else:
            published = flying.pop(data.draw(st.sampled_from([*flying])))
            acknowledged += published
            sorted_.published(published)

    assert sorted(acknowledged, key=lambda row: row.position) == rows


def _may_fly(flying: dict[Place, list[Row]], acknowledged: list[Row], rows: list[Row]) -> None:
    """Each contact's rows are on their way without a gap, in one place, in order, behind all that is acknowledged."""
    under_way: dict[str, list[tuple[Place, int]]] = defaultdict(list)
    for place, together in flying.items():
        for row in together:
            assert place == (row.type, partition_of(row, PARTITIONS))
            if row.key:
                under_way[row.key].append((place, row.position))
    for key, found in under_way.items():
        assert len({place for place, _ in found}) == 1
        done = sum(row.key == key for row in acknowledged)
        of_contact = [row.position for row in rows if row.key == key]
        assert [position for _, position in found] == of_contact[done : done + len(found)]


def test_a_contact_that_changes_topics_holds_up_no_other() -> None:
    sorted_ = lanes()

    sorted_.take([Row(1, "1", "ada", "a", 1, "{}", None), Row(2, "2", "ada", "b", 2, "{}", None)])
    sorted_.take([Row(3, "3", "grace", "b", 1, "{}", None)])

    assert sorted(row.position for rows in sorted_.ready.values() for row in rows) == [1, 3]


@given(ROWS)
def test_what_is_published_leaves_nothing_behind(rows: list[Row]) -> None:
    sorted_ = lanes()
    sorted_.take(rows)
    while sorted_.ready:
        sorted_.published(sorted_.ready.popitem()[1])

    assert sorted_._lanes == {}


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 100))
def test_the_partition_is_the_one_of_kafkas_clients(key: str, partitions: int) -> None:
    numbers = list(range(partitions))

    chosen = partition_of(Row(1, "id", key, "a", 1, "{}", None), partitions)

    assert chosen == DefaultPartitioner()(key.encode(), numbers, numbers)
