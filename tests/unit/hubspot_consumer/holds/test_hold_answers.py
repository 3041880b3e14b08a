"""Answers to holds: given when nothing of their contacts is in a call, by whoever is sure of its partitions."""

import asyncio

from aiokafka.errors import KafkaConnectionError

from hubspot_consumer.holds.records import FOR_S, Released
from hubspot_consumer.kafka.lease import LASTS_S
from schemas.contacts import ContactKey
from tests.lane_bench import ADA, GRACE
from tests.workers.hold_worker import Worker, answering, begun


def test_a_hold_is_answered_when_the_calls_about_its_contacts_have_ended() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.answers.assigned([4, 1])
        worker.bench.add(1)
        worker.bench.add(1, key=GRACE)
        updates = {update.lane.key: update for update in worker.bench.take()}
        worker.hear(begun(1, ADA, GRACE))
        worker.hear(begun(2, ContactKey("lena@example.com")))
        worker.lanes.finished(updates[GRACE])
        await asyncio.sleep(5)
        assert worker.answered == [(2, (1, 4))]
        assert worker.pacing.lent == 0.4

        worker.lanes.retry(updates[ADA], 30)
        await asyncio.sleep(0.1)

        assert worker.answered == [(2, (1, 4)), (1, (1, 4))]


def test_a_call_that_began_before_the_partitions_changed_hands_is_waited_for_too() -> None:
    @answering
    async def _(worker: Worker) -> None:
        worker.bench.add(1)
        [update] = worker.bench.take()
        worker.answers.revoked()
        worker.lanes.forget()
        worker.answers.assigned([1])
        worker.hear(begun(1, ADA))
        await asyncio.sleep(5)
        assert worker.answered == []

        worker.lanes.retry(update, 0.0)
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
