"""Holds in a worker: when they begin and end, what they do to the quota, and when they are answered."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from hubspot_consumer.hold_answers import HoldAnswers
from hubspot_consumer.hold_records import FOR_S, Held, HoldBegun, HoldRecord, Released, RunEnded, Written
from hubspot_consumer.hold_records import read_hold_record as read
from hubspot_consumer.holds import STALE, Holds
from hubspot_consumer.lanes import Lanes
from hubspot_consumer.lease import LASTS_S, Lease
from schemas.contacts import ContactKey
from tests.clock import LoopClock, OwnedClock, run_fast
from tests.hold_records import as_read
from tests.lane_bench import ADA, GRACE, Bench, sequences_of


class Delivery:
    def __init__(self) -> None:
        self.taking = True

    def notify(self) -> None:
        """Whoever takes looks by itself."""

    def pause(self) -> None:
        self.taking = False

    def resume(self) -> None:
        self.taking = True


class Pacing:
    def __init__(self) -> None:
        self.lent = 0.0

    def lend(self, part: float) -> None:
        self.lent = part


class Worker:
    """Lanes, holds and answers; what it says is in `said`."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.bench = Bench()
        self.lanes = self.bench.lanes = Lanes(clock)
        self.delivery, self.pacing = Delivery(), Pacing()
        self.holds = Holds(self.lanes, cast("Any", self.delivery), cast("Any", self.pacing), clock)
        self.lease = Lease(clock)
        self.lease.renew(clock.monotonic())
        self.said: list[Held] = []
        self.faults: list[Exception] = []
        self.read = asyncio.Event()
        self.read.set()
        self.answers = HoldAnswers(
            holds=self.holds,
            followed=cast("Any", self),
            topic="holds",
            producer=cast("Any", self),
            delivery=cast("Any", self.delivery),
            lease=self.lease,
            clock=clock,
        )

    def hear(self, record: HoldRecord | bytes, old: timedelta = timedelta()) -> None:
        self.holds.take_in(as_read(record, self.clock.now() - old))

    async def send_and_wait(self, _topic: str, *, key: bytes, value: bytes, partition: int) -> None:
        await asyncio.sleep(0.01)
        if self.faults:
            raise self.faults.pop()
        said = read(value)
        assert isinstance(said, Held)
        assert (key.decode(), partition) == (said.run, 0)
        self.said.append(said)

    async def caught_up(self) -> None:
        if self.faults:
            raise self.faults.pop()
        await self.read.wait()

    @property
    def answered(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(held.number, held.partitions) for held in self.said]


def begun(number: int = 1, *contacts: ContactKey, run: str = "r", share: float = 0.4) -> HoldBegun:
    return HoldBegun(run=run, number=number, command="replay", contacts=contacts, quota_share=share)


@pytest.fixture
def worker() -> Worker:
    return Worker(OwnedClock())


def answering(test: Any) -> None:
    """Run a test of a worker that answers, on a loop whose time flies."""

    async def run() -> None:
        worker = Worker(LoopClock())
        tasks = [asyncio.create_task(task) for task in (worker.answers.answer(), worker.answers.catch_up())]
        try:
            await test(worker)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run_fast(run())


def test_a_held_contact_is_taken_by_no_kind_of_call_and_others_are(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.bench.add(1)
    worker.bench.add(1, key=GRACE)
    assert worker.bench.taken() == [[1]]
    assert worker.lanes.held == 1

    worker.hear(Released(run="r", number=1))

    assert worker.bench.taken() == [[1]]
    assert worker.bench.finished == {(ADA, 1): 1, (GRACE, 1): 1}


def test_what_the_run_wrote_is_not_written_again_and_leaves_its_timeline_entries(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.bench.add(2, 3, 4)

    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=3, contact_id="77")}))

    [fold] = worker.bench.take()
    assert (fold.written, sequences_of(fold), fold.lane.contact_id) == (True, [2, 3], "77")
    worker.lanes.finished(fold)
    [fold] = worker.bench.take()
    assert (fold.written, sequences_of(fold)) == (False, [4])


def test_a_contact_of_which_nothing_was_known_is_looked_up_no_more_once_the_run_wrote_it(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.bench.add(3)
    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=2, contact_id="77")}))

    assert worker.lanes.unknown == 0
    [fold] = worker.bench.take()
    assert (fold.written, sequences_of(fold)) == (False, [3])


def test_what_a_run_wrote_and_nobody_had_read_leaves_its_entries_in_order(worker: Worker) -> None:
    read_as_far = False
    worker.lanes._siblings_passed = lambda *_: read_as_far
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=3, contact_id=None)}))

    worker.bench.add(3)
    assert worker.bench.take() == [], "event 2 may be unread, whose entry comes first"
    worker.bench.add(2)
    read_as_far = True
    worker.clock.advance(1)

    assert [sequences_of(fold) for fold in worker.bench.take()] == [[2, 3]]


def test_what_a_run_that_is_not_heard_of_any_more_may_have_written_is_looked_up(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.bench.add(2)
    worker.clock.advance(FOR_S - 1)
    assert worker.holds.expire() == pytest.approx(1)
    assert worker.bench.taken() == []

    worker.clock.advance(1)
    assert worker.holds.expire() is None

    assert (worker.lanes.unknown, worker.holds.report()) == (1, None)
    worker.bench.look_up(1)
    assert worker.bench.taken() == [[2]]


def test_a_hold_that_was_released_late_is_over_already(worker: Worker) -> None:
    worker.bench.add(1)
    worker.bench.taken()
    worker.hear(begun(1, ADA))
    worker.clock.advance(FOR_S)
    worker.holds.expire()
    worker.bench.add(2)
    worker.bench.look_up(1)

    worker.hear(Released(run="r", number=1, written={ADA: Written(sequence=9, contact_id=None)}))

    [fold] = worker.bench.take()
    assert (fold.written, sequences_of(fold)) == (False, [2])


def test_a_contact_of_two_holds_waits_for_the_end_of_both(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.hear(begun(2, ADA, GRACE))
    worker.bench.add(1)
    worker.hear(Released(run="r", number=1))
    assert worker.bench.take() == []

    worker.hear(RunEnded(run="r"))

    worker.bench.look_up(0)
    assert worker.bench.taken() == [[1]]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no JSON",
        b'{"kind": "hold", "run": "r"}',
        b'{"kind": "greeting", "run": "r"}',
        b'{"kind": "hold", "run": "r", "number": 1, "command": "replay", "quota_share": 1.5}',
        b"\xff",
    ],
)
def test_what_nobody_can_read_is_passed_over(worker: Worker, value: bytes) -> None:
    worker.hear(value)

    assert (worker.holds.report(), worker.holds.to_answer(), worker.pacing.lent) == (None, [], 0.0)


def test_a_newer_version_may_add_fields(worker: Worker) -> None:
    worker.hear(begun(1, ADA).model_dump_json().replace('{"', '{"reason":"x","', 1).encode())

    assert worker.lanes.is_held(ADA)


def test_an_old_record_is_passed_over(worker: Worker) -> None:
    worker.hear(begun(1, ADA), old=STALE + timedelta(seconds=1))
    assert not worker.lanes.is_held(ADA)

    worker.hear(begun(1, ADA), old=STALE - timedelta(seconds=1))
    assert worker.lanes.is_held(ADA)


def test_a_run_has_its_share_of_the_quota_until_it_ends_and_each_hold_renews_it(worker: Worker) -> None:
    worker.hear(begun(1))
    assert worker.pacing.lent == 0.4
    worker.clock.advance(FOR_S - 1)
    worker.hear(begun(2))
    worker.clock.advance(FOR_S - 1)
    worker.holds.expire()
    assert worker.pacing.lent == 0.4
    worker.hear(begun(1, run="another", share=0.7))
    assert worker.pacing.lent == 0.7
    worker.hear(RunEnded(run="another"))
    assert worker.pacing.lent == 0.4

    worker.clock.advance(1)
    worker.holds.expire()

    assert worker.pacing.lent == 0.0


def test_the_status_tells_the_run_and_how_many_contacts_it_holds_and_no_email(worker: Worker) -> None:
    worker.hear(begun(1, ADA))
    worker.hear(begun(2, ADA, GRACE))

    assert worker.holds.report() == {"run": "r", "command": "replay", "quota_share": 0.4, "contacts_held": 2}


def test_a_hold_is_answered_when_the_calls_about_its_contacts_have_ended() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.answers.assigned([4, 1])
        worker.bench.add(1)
        worker.bench.add(1, key=GRACE)
        folds = {fold.lane.key: fold for fold in worker.bench.take()}
        worker.hear(begun(1, ADA, GRACE))
        worker.hear(begun(2, ContactKey("lena@example.com")))
        worker.lanes.finished(folds[GRACE])
        await asyncio.sleep(5)
        assert worker.answered == [(2, (1, 4))]
        assert worker.pacing.lent == 0.4

        worker.lanes.retry(folds[ADA], 30)
        await asyncio.sleep(0.1)

        assert worker.answered == [(2, (1, 4)), (1, (1, 4))]


def test_a_call_that_began_before_the_partitions_changed_hands_is_waited_for_too() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.bench.add(1)
        [fold] = worker.bench.take()
        worker.answers.revoked()
        worker.lanes.forget()
        worker.answers.assigned([1])
        worker.hear(begun(1, ADA))
        await asyncio.sleep(5)
        assert worker.answered == []

        worker.lanes.retry(fold, 0.0)
        await asyncio.sleep(0.1)

        assert worker.answered == [(1, (1,))]


def test_a_worker_that_is_not_sure_of_its_partitions_answers_as_soon_as_it_is_again() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.answers.assigned([1])
        await asyncio.sleep(LASTS_S)
        worker.hear(begun(1, ADA))
        await asyncio.sleep(10)
        assert worker.answered == []
        assert worker.lanes.is_held(ADA)

        worker.lease.renew(worker.lease.now())
        await asyncio.sleep(0.5)

        assert worker.answered == [(1, (1,))]


def test_after_a_rebalance_every_hold_in_force_is_answered_anew() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.hear(begun(1, ADA))
        await asyncio.sleep(0.1)
        assert worker.answered == [(1, ())], "who holds nothing says so"
        worker.hear(begun(2))
        worker.answers.assigned([3])
        await asyncio.sleep(0.1)
        assert sorted(worker.answered[1:]) == [(1, (3,)), (2, (3,))]

        worker.hear(Released(run="r", number=1))
        worker.answers.revoked()
        worker.answers.assigned([5])
        await asyncio.sleep(0.1)

        assert worker.answered[3:] == [(2, (5,))]


def test_an_answer_that_kafka_did_not_take_is_given_again() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.answers.assigned([1])
        await asyncio.sleep(0.1)
        worker.faults.append(KafkaConnectionError())
        worker.hear(begun(1, ADA))
        await asyncio.sleep(0.1)
        assert worker.answered == []

        await asyncio.sleep(2)

        assert worker.answered == [(1, (1,))]


def test_after_a_rebalance_nothing_is_taken_before_all_holds_are_known() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.read.clear()
        worker.answers.assigned([1])
        await asyncio.sleep(60)
        assert not worker.delivery.taking
        worker.answers.revoked()
        worker.read.set()
        await asyncio.sleep(1)
        assert not worker.delivery.taking, "these partitions are somebody else's by now"

        worker.faults.append(KafkaConnectionError())
        worker.answers.assigned([2])
        await asyncio.sleep(0.5)
        assert not worker.delivery.taking
        await asyncio.sleep(2)

        assert worker.delivery.taking


def test_holds_expire_while_nobody_says_anything() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.hear(begun(1, ADA))
        await asyncio.sleep(FOR_S - 1)
        assert worker.lanes.is_held(ADA)
        await asyncio.sleep(2)

        assert not worker.lanes.is_held(ADA)
