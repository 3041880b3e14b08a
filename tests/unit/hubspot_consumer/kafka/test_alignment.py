"""Alignment: who is held back for running ahead of the siblings, and when a hole can't fill any more."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.partition_alignment import PartitionAlignment
from hubspot_consumer.kafka.records import Partition, Record
from tests.clock import run_fast

START = datetime(2026, 11, 24, tzinfo=UTC)
TOPICS = ("a", "b", "c")
NUMBERS = (0, 1)


class Reader:
    """Alignment, over partitions that end at 100 unless changed, and that are read from their beginnings."""

    def __init__(self, partitions: Iterable[Partition] | None = None) -> None:
        held = list(partitions or ((topic, number) for topic in TOPICS for number in NUMBERS))
        self.kafka = {TopicPartition(*partition): 100 for partition in held}
        self.offsets = Offsets()
        self.alignment = PartitionAlignment(self.offsets, self.ends)
        self.alignment.assigned(held)
        self.offsets.assigned(dict.fromkeys(held, 0))

    async def ends(self) -> Mapping[TopicPartition, int]:
        return dict(self.kafka)

    def read(self, *records: Record) -> None:
        for one in records:
            self.alignment.read(one)
            self.offsets.begin(one.topic_partition, one.offset)

    def ahead(self) -> set[Partition]:
        """Return what is ahead by the ends as they are."""
        self.alignment.ahead()
        run_fast(self.alignment.look())
        return self.alignment.ahead()


def record(topic: str, number: int, offset: int, second: float) -> Record:
    return Record(topic, number, offset, START + timedelta(seconds=second), b"", b"", [])


def test_a_partition_is_held_back_while_a_sibling_is_behind_it_in_time() -> None:
    reader = Reader()
    reader.read(
        *(record("a", 0, 10, 5), record("b", 0, 90, 3), record("c", 0, 10, 5.1)),
        *(record(topic, 1, 10, 50) for topic in TOPICS),
    )

    assert reader.ahead() == {("a", 0), ("c", 0)}


def test_a_sibling_that_has_no_more_holds_nobody_back() -> None:
    reader = Reader()
    reader.kafka |= {TopicPartition("b", 0): 91, TopicPartition("c", 0): 0}
    reader.read(record("a", 0, 10, 5), record("b", 0, 90, 3))

    assert reader.ahead() == set()


def test_a_sibling_that_ends_with_markers_of_transactions_holds_nobody_back_once_they_are_passed() -> None:
    reader = Reader()
    reader.kafka |= {TopicPartition("b", 0): 92, TopicPartition("c", 0): 1}
    reader.read(record("a", 0, 10, 5), record("b", 0, 90, 3))
    assert reader.ahead() == {("a", 0), ("b", 0)}

    reader.offsets.pass_over(("b", 0), 91, 92)
    reader.offsets.pass_over(("c", 0), 0, 1)

    assert reader.ahead() == set()


def test_a_sibling_of_which_nothing_was_read_yet_is_behind() -> None:
    reader = Reader()
    reader.read(record("a", 0, 10, 5), record("b", 0, 10, 5))

    assert reader.ahead() == {("a", 0), ("b", 0)}


def test_siblings_are_past_a_record_once_they_are_further_in_time_by_more_than_clocks_differ() -> None:
    reader, waiting = Reader(), record("a", 0, 10, 5)
    reader.read(waiting, record("b", 0, 90, 6.1), record("c", 0, 3, 6))
    run_fast(reader.alignment.look())
    assert not reader.alignment.earlier_were_read(waiting)

    reader.read(record("c", 0, 4, 6.1))

    assert reader.alignment.earlier_were_read(waiting)


def test_siblings_are_past_a_record_once_they_were_read_to_where_they_ended_after_it_was_read() -> None:
    reader, waiting = Reader(), record("a", 0, 10, 5)
    reader.kafka |= dict.fromkeys((TopicPartition("b", 0), TopicPartition("c", 0)), 0)
    reader.ahead()
    # What was before it has come since the ends were asked.
    reader.kafka[TopicPartition("b", 0)] = 1
    reader.read(waiting)
    assert not reader.alignment.earlier_were_read(waiting), "nobody knows yet where they end"

    run_fast(reader.alignment.look())
    assert not reader.alignment.earlier_were_read(waiting)

    reader.read(record("b", 0, 0, 4))
    assert reader.alignment.earlier_were_read(waiting)


def test_nobody_asks_where_partitions_end_unless_something_waits_for_it() -> None:
    reader = Reader()
    run_fast(reader.alignment.look())
    reader.kafka.clear()
    reader.read(record("a", 0, 10, 5))

    assert reader.ahead() == {("a", 0)}, "they were not asked while nothing waited"


def test_after_a_rebalance_everything_is_read_anew() -> None:
    reader, waiting = Reader(), record("a", 0, 10, 5)
    reader.read(waiting, record("b", 0, 90, 3))
    reader.ahead()

    reader.alignment.assigned([("a", 0), ("b", 0)])
    reader.offsets.assigned({("a", 0): 0, ("b", 0): 100})

    assert reader.alignment.ahead() == set()
    assert not reader.alignment.earlier_were_read(waiting), "they are to be asked again"


@given(st.data(), st.integers(1, 6))
def test_whoever_is_read_next_siblings_never_drift_apart_by_more_than_a_fetch(data: st.DataObject, fetch: int) -> None:
    # Events of one number, dealt to three topics; a reader fetches of any partition that is not held back.
    dealt = data.draw(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=60))
    queues = {topic: [second for second, name in enumerate(dealt) if name == topic] for topic in TOPICS}
    reader = Reader((topic, 0) for topic in TOPICS)
    reader.kafka = {TopicPartition(topic, 0): len(queue) for topic, queue in queues.items()}
    reader.ahead()
    at = dict.fromkeys(TOPICS, 0)
    while any(at[topic] < len(queues[topic]) for topic in TOPICS):
        ahead = {topic for topic, _ in reader.alignment.ahead()}
        free = [topic for topic in TOPICS if topic not in ahead and at[topic] < len(queues[topic])]
        assert free, "somebody can always be read"
        topic = data.draw(st.sampled_from(free))
        for second in queues[topic][at[topic] : at[topic] + fetch]:
            reader.read(record(topic, 0, at[topic], second))
            at[topic] += 1
        unread = min((queues[name][at[name]] for name in TOPICS if at[name] < len(queues[name])), default=len(dealt))
        early = [second for name in TOPICS for second in queues[name][: at[name]] if second > unread]
        assert len(early) <= fetch * len(TOPICS)


def test_a_record_of_a_partition_that_was_recreated_does_not_wait_until_the_new_one_is_as_long() -> None:
    reader = Reader([("a", 0), ("b", 0)])
    waiting = record("a", 0, 99_999, 5)
    reader.read(waiting, *(record("b", 0, offset, 1) for offset in range(100)))
    reader.offsets.restart(("a", 0), 0)
    reader.kafka = {partition: 100 if partition.topic == "b" else 0 for partition in reader.kafka}

    assert not reader.alignment.earlier_were_read(waiting)
    run_fast(reader.alignment.look())

    assert reader.alignment.earlier_were_read(waiting), "everything was read to its end"
