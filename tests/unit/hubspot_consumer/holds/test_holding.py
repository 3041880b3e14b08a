"""A run's holds: who else is active, who has answered, and when that is enough."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from aiokafka.errors import KafkaConnectionError

from hubspot_consumer.holds.hold import TOO_LITTLE_S, Coverage, Hold, HoldListener, TakenOver
from hubspot_consumer.holds.records import FOR_S, HoldAnswered, HoldBegun, HoldRecord, RunEnded
from hubspot_consumer.hubspot.connection import CALL_WITHIN_S
from hubspot_consumer.kafka.faust_worker import REBALANCE_TIMEOUT_S
from hubspot_consumer.kafka.group import Group, Member
from hubspot_consumer.worker.assignment import DRAIN_AT_REBALANCE_S
from schemas.contacts import ContactKey
from tests.clock import START, LoopClock, OwnedClock, run_fast
from tests.kafka.hold_records import as_read
from tests.lane_bench import ADA, GRACE


def begun(run: str, number: int) -> HoldBegun:
    return HoldBegun(run=run, number=number, command=f"command of {run}", quota_share=0.5)


def hear(heard: HoldListener, *records: HoldRecord | bytes, after_s: float = 0.0) -> None:
    for record in records:
        heard.take_in(as_read(record, START + timedelta(seconds=after_s)))


@pytest.fixture
def heard() -> HoldListener:
    heard = HoldListener("ours")
    heard.announce(1)
    return heard


def test_of_two_runs_that_begin_at_once_the_first_in_the_topic_is_the_one() -> None:
    first, second = HoldListener("a"), HoldListener("b")
    for number, heard in enumerate((first, second), start=1):
        heard.announce(number)
        hear(heard, begun("a", 1), begun("b", 2))

    assert first.other_run is None
    assert second.other_run is not None
    assert (second.other_run.command, second.other_run.heard_at_s) == ("command of a", START.timestamp())


def test_a_run_that_ended_or_was_not_heard_of_in_time_is_no_other_run(heard: HoldListener) -> None:
    hear(heard, begun("killed", 1))
    hear(heard, begun("ended", 1), RunEnded(run="ended"), after_s=50)
    hear(heard, begun("ours", 1), after_s=FOR_S)

    assert heard.other_run is None


def test_a_run_that_was_heard_of_in_time_is_another_run_until_it_ends(heard: HoldListener) -> None:
    hear(heard, begun("other", 1), b"no JSON")
    hear(heard, begun("ours", 1), after_s=FOR_S - 1)
    assert heard.other_run is not None

    hear(heard, RunEnded(run="other"))

    assert heard.other_run is None


def test_who_goes_on_with_a_run_ends_its_old_holds_and_the_old_process_holds_nothing_any_more() -> None:
    old, new, clock = HoldListener("ours"), HoldListener("ours"), OwnedClock()
    old.announce(1)
    hold = Hold(2, frozenset([ADA]), (), old, clock)
    before: tuple[HoldRecord, ...] = (begun("ours", 1), begun("ours", 2))
    hear(old, *before)
    hear(new, *before)
    assert (new.was_active, new.highest_number, hold.time_left_s) == (True, 2, FOR_S)

    new.announce(1_002)
    for one in (old, new):
        hear(one, RunEnded(run="ours"), begun("ours", 1_002))

    assert (old.taken_over, new.taken_over, new.other_run) == (True, False, None)
    assert hold.time_left_s == 0


def test_a_run_that_was_silent_until_another_one_began_holds_nothing_any_more() -> None:
    ours, clock = HoldListener("ours"), OwnedClock()
    ours.announce(1)
    hold = Hold(2, frozenset([ADA]), (), ours, clock)
    hear(ours, begun("ours", 1), begun("ours", 2))
    hear(ours, begun("early", 1), RunEnded(run="early"), after_s=FOR_S - 1)
    assert (ours.superseded_by, hold.time_left_s) == (None, FOR_S)

    hear(ours, begun("other", 1), after_s=FOR_S)
    hear(ours, begun("ours", 3), after_s=FOR_S + 1)

    assert ours.superseded_by is not None
    assert (ours.superseded_by.command, ours.taken_over, hold.time_left_s) == ("command of other", False, 0)


def test_a_run_that_ended_long_before_this_one_began_is_no_successor(heard: HoldListener) -> None:
    hear(heard, begun("other", 1))
    hear(heard, begun("ours", 1), after_s=2 * FOR_S)

    assert heard.superseded_by is None


def test_only_what_is_held_can_have_been_written() -> None:
    clock = OwnedClock()
    hold = Hold(1, frozenset([ADA]), (), HoldListener("ours"), clock)
    clock.advance(10)

    hold.written(ADA, 7, "1")
    with pytest.raises(KeyError):
        hold.written(GRACE, 7, "1")

    assert hold.time_left_s == FOR_S - 10
    assert {key: one.sequence for key, one in hold.outcome.items()} == {ADA: 7}


class Members:
    """The group as the test says; asked how often."""

    def __init__(self, *members: Member) -> None:
        self.members: Sequence[Member] | Exception = members
        self.asked = 0

    async def now(self) -> Group:
        self.asked += 1
        if isinstance(self.members, Exception):
            raise self.members
        return Group("Stable", self.members)


class Run:
    """A hold of the partitions 1 and 2 that Kafka has acknowledged."""

    def __init__(self, members: Members, partitions: Sequence[int] = (1, 2)) -> None:
        clock = LoopClock()
        self.heard, self.told = HoldListener("ours"), list[str]()
        self.coverage = Coverage(self.heard, members.now, clock, self.told.append)
        self.hold = Hold(5, frozenset([ContactKey("c@example.com")]), partitions, self.heard, clock)
        self.heard.listen(self.hold)

    def answer(self, worker: str, *partitions: int, run: str = "ours", number: int = 5) -> None:
        hear(self.heard, HoldAnswered(run=run, number=number, worker=worker, partitions=partitions))

    async def complete(self) -> bool:
        return await self.coverage.complete(self.hold)


ONE, TWO = Member("one at 10.0.0.1", frozenset([0, 1])), Member("two at 10.0.0.2", frozenset([2, 3]))


def test_a_hold_is_entered_when_each_partition_of_its_contacts_was_answered_for() -> None:
    async def answered() -> tuple[bool, bool]:
        run = Run(Members(ONE, TWO))
        entering = asyncio.create_task(run.complete())
        run.answer("w1", 0, 1)
        run.answer("w2", 2, 3, number=4)
        run.answer("w2", 2, 3, run="another")
        run.answer("w3")
        await asyncio.sleep(5)
        before = entering.done()
        run.answer("w2", 2, 3)
        return before, await entering

    assert run_fast(answered()) == (False, True)


def test_a_hold_without_contacts_asks_nobody() -> None:
    members = Members(ONE)

    assert run_fast(Run(members, ()).complete())
    assert members.asked == 0


def test_without_any_worker_a_hold_is_entered() -> None:
    async def entered() -> tuple[bool, float]:
        run = Run(Members())
        return await run.complete(), asyncio.get_running_loop().time()

    obeyed, after_s = run_fast(entered())
    assert obeyed
    assert after_s < 1


def test_where_kafka_does_not_tell_who_is_there_nobody_is_taken_for_absent() -> None:
    members = Members()
    members.members = KafkaConnectionError()

    async def waited() -> tuple[bool, list[str]]:
        run = Run(members)
        return await run.complete(), run.told

    obeyed, told = run_fast(waited())
    assert not obeyed
    assert told
    assert "Kafka does not say" in told[0]


def test_a_hold_that_nobody_answers_is_given_up_in_time_and_it_is_told_who_is_waited_for() -> None:
    async def waited() -> tuple[bool, float, list[str]]:
        run = Run(Members(ONE, TWO))
        run.answer("w2", 2, 3)
        obeyed = await run.complete()
        return obeyed, run.hold.time_left_s, run.told

    obeyed, left_s, told = run_fast(waited())
    assert not obeyed
    assert TOO_LITTLE_S - 1 <= left_s < TOO_LITTLE_S
    assert len(told) == 2
    assert told[0].startswith("no answer from one at 10.0.0.1 (partitions 1): ")


def test_a_hold_that_was_answered_too_late_is_not_entered() -> None:
    async def late() -> bool:
        run = Run(Members(ONE))
        await asyncio.sleep(FOR_S - TOO_LITTLE_S + 1)
        run.answer("w1", 1, 2)
        return await run.complete()

    assert not run_fast(late())


def test_a_process_whose_run_was_taken_over_enters_nothing() -> None:
    async def taken_over() -> None:
        run = Run(Members(ONE))
        run.heard.announce(1)
        hear(run.heard, begun("ours", 1), RunEnded(run="ours"))
        await run.complete()

    with pytest.raises(TakenOver):
        run_fast(taken_over())


def test_a_call_to_hubspot_ends_before_what_waits_for_it() -> None:
    assert CALL_WITHIN_S < TOO_LITTLE_S < FOR_S
    assert DRAIN_AT_REBALANCE_S < CALL_WITHIN_S < REBALANCE_TIMEOUT_S
