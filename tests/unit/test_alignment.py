"""Alignment: who is held back for running ahead of the siblings, and when a hole can't fill any more."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.alignment import Alignment
from hubspot_consumer.records import Record

START = datetime(2026, 11, 24, tzinfo=UTC)
TOPICS = ("a", "b", "c")
NUMBERS = (0, 1)


class Ends:
    """Where partitions end, all at 100 unless changed; and their lag, none known."""

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], int] = {}
        self.lags: dict[tuple[str, int], int] = {}

    def end_of(self, topic: str, number: int) -> int:
        return self.ends.get((topic, number), 100)

    def of(self, topic: str, number: int) -> int | None:
        return self.lags.get((topic, number))


def record(topic: str, number: int, offset: int, second: float) -> Record:
    return Record(topic, number, offset, START + timedelta(seconds=second), b"", b"", [])


def aligned(ends: Ends, *read: Record) -> Alignment:
    alignment = Alignment(cast("Any", ends))
    alignment.assigned((topic, number) for topic in TOPICS for number in NUMBERS)
    for one in read:
        alignment.read(one)
    return alignment


def test_a_partition_is_held_back_while_a_sibling_is_behind_it_in_time() -> None:
    alignment = aligned(
        Ends(),
        *(record("a", 0, 10, 5), record("b", 0, 90, 3), record("c", 0, 10, 5.1)),
        *(record(topic, 1, 10, 50) for topic in TOPICS),
    )

    assert alignment.ahead() == {("a", 0), ("c", 0)}


def test_a_sibling_that_has_no_more_holds_nobody_back() -> None:
    ends = Ends()
    ends.ends["b", 0] = 91
    ends.lags["c", 0] = 0

    assert aligned(ends, record("a", 0, 10, 5), record("b", 0, 90, 3)).ahead() == set()


def test_a_sibling_of_which_nothing_was_read_yet_is_behind() -> None:
    ends = Ends()
    ends.lags["c", 0] = 7

    assert aligned(ends, record("a", 0, 10, 5), record("b", 0, 10, 5)).ahead() == {("a", 0), ("b", 0)}


def test_a_hole_can_still_fill_until_the_siblings_are_past_what_waits_or_at_their_ends() -> None:
    ends = Ends()
    waiting = record("a", 0, 10, 5)
    alignment = aligned(ends, waiting, record("b", 0, 90, 3), record("c", 0, 3, 5))
    assert not alignment.siblings_passed(waiting)

    alignment.read(record("b", 0, 95, 5))
    assert alignment.siblings_passed(waiting)

    alignment.read(record("b", 0, 96, 1))
    ends.ends["b", 0] = 97
    assert alignment.siblings_passed(waiting)


def test_after_a_rebalance_everything_is_read_anew() -> None:
    alignment = aligned(Ends(), record("a", 0, 10, 5), record("b", 0, 90, 3))

    alignment.assigned([("a", 1)])

    assert alignment.ahead() == set()


@given(st.data(), st.integers(1, 6))
def test_whoever_is_read_next_siblings_never_drift_apart_by_more_than_a_fetch(data: st.DataObject, fetch: int) -> None:
    # Events of one number, dealt to three topics; a reader fetches of any partition that is not held back.
    dealt = data.draw(st.lists(st.sampled_from(TOPICS), min_size=1, max_size=60))
    queues = {topic: [second for second, name in enumerate(dealt) if name == topic] for topic in TOPICS}
    ends = Ends()
    ends.ends = {(topic, 0): len(queue) for topic, queue in queues.items()}
    ends.lags = dict(ends.ends)
    alignment = Alignment(cast("Any", ends))
    alignment.assigned((topic, 0) for topic in TOPICS)
    at = dict.fromkeys(TOPICS, 0)
    while any(at[topic] < len(queues[topic]) for topic in TOPICS):
        ahead = {topic for topic, _ in alignment.ahead()}
        free = [topic for topic in TOPICS if topic not in ahead and at[topic] < len(queues[topic])]
        assert free, "somebody can always be read"
        topic = data.draw(st.sampled_from(free))
        for second in queues[topic][at[topic] : at[topic] + fetch]:
            alignment.read(record(topic, 0, at[topic], second))
            at[topic] += 1
        unread = min((queues[name][at[name]] for name in TOPICS if at[name] < len(queues[name])), default=len(dealt))
        early = [second for name in TOPICS for second in queues[name][: at[name]] if second > unread]
        assert len(early) <= fetch * len(TOPICS)
