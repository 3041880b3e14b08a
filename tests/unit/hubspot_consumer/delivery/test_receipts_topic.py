"""The topic of receipts: nothing waits for it for long, whatever Kafka does, and acks come behind them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from hubspot_consumer.delivery.receipts import ACK_WITHIN_S, ENOUGH_TOGETHER, GATHER_S, MOST_WAITING, ReceiptsTopic
from hubspot_consumer.metrics import Telemetry
from tests.clock import LoopClock, run_fast
from tests.kafka.receipts import MOST_OF_A_BATCH, Acks, ReceiptsKafka, put

MINUTE_S = 60.0


@asynccontextmanager
async def written(topic: ReceiptsTopic) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in (topic.write(), topic.release_late())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def on_a_fast_loop(work: Coroutine[Any, Any, None]) -> list[str]:
    """Run *work*, and return the names of the lines that were logged."""
    with capture_logs() as lines:
        run_fast(work)
    return [line["event"] for line in lines]


def test_receipts_go_in_order_and_their_events_are_acked_when_kafka_has_them() -> None:
    async def work() -> None:
        kafka, acks = ReceiptsKafka(), Acks()
        kafka.silent = True
        topic = kafka.topic(LoopClock())
        put(topic, acks, range(MOST_OF_A_BATCH + 20))
        async with written(topic):
            await asyncio.sleep(ACK_WITHIN_S / 2)

            assert acks.let_go == []
            kafka.answer.set()
            await topic.flush(MINUTE_S)

            assert acks.let_go == list(range(MOST_OF_A_BATCH + 20))
            assert [int(value) for _, value in kafka.records] == acks.let_go
            assert (topic.written, topic.waiting, topic.dropped, kafka.created) == (len(acks.let_go), 0, 0, 1)

    assert on_a_fast_loop(work()) == []


def test_receipts_that_fill_a_request_are_sent_without_a_wait_for_more() -> None:
    async def work() -> None:
        clock, acks = LoopClock(), Acks()
        topic = ReceiptsKafka().topic(clock)
        put(topic, acks, range(10 * ENOUGH_TOGETHER))
        async with written(topic):
            began = clock.monotonic()
            await topic.flush(MINUTE_S)

            assert acks.let_go == list(range(10 * ENOUGH_TOGETHER))
            assert clock.monotonic() - began < 10 * GATHER_S

    on_a_fast_loop(work())


def test_the_topic_is_created_with_the_first_receipt_and_not_before() -> None:
    async def work() -> None:
        kafka = ReceiptsKafka()
        topic = kafka.topic(LoopClock())
        async with written(topic):
            await asyncio.sleep(MINUTE_S)
            assert kafka.created == 0

            put(topic, Acks(), [1])
            await topic.flush(MINUTE_S)

            assert kafka.created == 1

    on_a_fast_loop(work())


def test_while_kafka_takes_no_receipts_acks_go_on_and_what_waits_is_sent_when_it_does() -> None:
    async def work() -> None:
        kafka, acks = ReceiptsKafka(away=True), Acks()
        topic = kafka.topic(LoopClock())
        async with written(topic):
            put(topic, acks, range(3))
            await asyncio.sleep(ACK_WITHIN_S + 1.5)

            assert acks.let_go == [0, 1, 2]
            put(topic, acks, [3])
            await asyncio.sleep(1)
            assert acks.let_go == [0, 1, 2], "one that came just now still waits for its receipt"
            assert kafka.refusals > 3
            kafka.away = False
            await topic.flush(MINUTE_S)

            assert acks.let_go == [0, 1, 2, 3], "each once"
            assert len(kafka.records) == 4

    assert on_a_fast_loop(work()) == ["receipts.not_written", "receipts.written_again"]


def test_a_kafka_that_says_nothing_holds_up_no_ack_either() -> None:
    async def work() -> None:
        kafka, acks = ReceiptsKafka(), Acks()
        kafka.silent = True
        topic = kafka.topic(LoopClock())
        async with written(topic):
            put(topic, acks, [1])
            await asyncio.sleep(ACK_WITHIN_S + 1.5)

            assert acks.let_go == [1]
            assert topic.waiting == 1

    on_a_fast_loop(work())


def test_beyond_a_bound_new_receipts_are_dropped_counted_and_told_of_once() -> None:
    telemetry = Telemetry()

    async def work() -> None:
        kafka, acks = ReceiptsKafka(away=True), Acks()
        topic = kafka.topic(LoopClock(), telemetry)
        async with written(topic):
            put(topic, acks, range(MOST_WAITING + 5))

            assert acks.let_go == [MOST_WAITING + number for number in range(5)], "nobody waits for what was dropped"
            assert (topic.waiting, topic.dropped) == (MOST_WAITING, 5)
            kafka.away = False
            await topic.flush(10 * MINUTE_S)

            assert topic.written == MOST_WAITING

    told = on_a_fast_loop(work())

    assert told == ["receipts.dropped"]
    value = telemetry.registry.get_sample_value
    assert value("hubspot_consumer_receipts_total", {"end": "dropped"}) == 5
    assert value("hubspot_consumer_receipts_total", {"end": "written"}) == MOST_WAITING


def test_a_flush_waits_no_longer_than_it_was_told() -> None:
    async def work() -> None:
        kafka, acks = ReceiptsKafka(away=True), Acks()
        clock = LoopClock()
        topic = kafka.topic(clock)
        async with written(topic):
            put(topic, acks, [1])
            began = clock.monotonic()
            await topic.flush(1.0)

            assert 0.9 < clock.monotonic() - began < 1.1
            assert acks.let_go == [], "what is not on Kafka is not acked: it is read again"
            await topic.flush(-3.0)

    on_a_fast_loop(work())


def test_a_topic_that_was_deleted_is_created_again() -> None:
    async def work() -> None:
        kafka, acks = ReceiptsKafka(), Acks()
        topic = kafka.topic(LoopClock())
        async with written(topic):
            put(topic, acks, [1])
            await topic.flush(MINUTE_S)
            kafka.away = True
            put(topic, acks, [2])
            await asyncio.sleep(2)
            kafka.away = False
            await topic.flush(MINUTE_S)

            assert kafka.created == 2
            assert acks.let_go == [1, 2]

    on_a_fast_loop(work())


def test_a_receipt_that_the_topic_does_not_take_holds_up_no_other() -> None:
    kafka, acks, telemetry = ReceiptsKafka(largest=10), Acks(), Telemetry()

    async def work() -> None:
        topic = kafka.topic(LoopClock(), telemetry)
        async with written(topic):
            put(topic, acks, range(10))
            topic.put(b"ada@example.com", b"x" * 11, acks.of(10))
            put(topic, acks, range(11, 50))
            await topic.flush(ACK_WITHIN_S / 2)

            assert (topic.waiting, topic.written, topic.dropped) == (0, 49, 1)

    assert on_a_fast_loop(work()) == ["receipts.dropped"]
    assert acks.let_go == list(range(50))
    assert [int(value) for _, value in kafka.records] == [number for number in range(50) if number != 10]
    assert telemetry.registry.get_sample_value("hubspot_consumer_receipts_total", {"end": "dropped"}) == 1
