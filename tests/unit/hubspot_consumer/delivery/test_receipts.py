"""Receipts: each outcome leaves one that tells what became of the event, and no event is acked before it."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from hubspot_consumer.delivery.contact_writer import ContactWriter
from hubspot_consumer.delivery.destination import DryRun
from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.delivery.writer import LaneWriter
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.unwritable_properties import UnwritableProperties
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import Delivered, Outcome, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import KnownContact, KnownContacts, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import WriteAnswer
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.worker.consumer import RecordConsumer
from schemas.contacts import ContactKey
from schemas.deliveries import Receipt
from schemas.envelope import Headers
from schemas.events import EVENTS
from schemas.texts import LONGEST_KEPT
from tests.clock import START, LoopClock, run_fast
from tests.kafka.receipts import ReceiptsKafka
from tests.parts import no_resyncs
from tests.samples import EMAIL, envelope, record, value

PUBLISHED = datetime(2026, 11, 24, tzinfo=UTC)
NO: Outcome = Rejected("rejected_by_hubspot", "400: " + "x" * 3_000)


class HubSpot(DryRun):
    """Answers each write as told, the first of *answers* first, and then takes everything."""

    def __init__(self) -> None:
        self.answers: list[Outcome] = []
        self.timeline: list[Refusal | None] = []

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        answer = self.answers.pop(0) if self.answers else Delivered("501")
        return WriteAnswer(outcomes={one.trace_id: answer for one in inputs})

    async def known_contacts(self, keys: Sequence[ContactKey], slot: WaitForSlot) -> KnownContacts:  # type: ignore[override]  # noqa: ARG002
        return dict.fromkeys(keys, KnownContact("501", 0))

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:  # type: ignore[override]  # noqa: ARG002
        return self.timeline.pop(0) if self.timeline else None


class DeadLetters:
    async def put(self, _record: Record, _reason: str, _detail: str, attempts: int) -> None: ...


class Suppressed(set[ContactKey]):
    def contains(self, key: ContactKey) -> bool:
        return key in self


class Worker:
    """From records to receipts, all of it real but HubSpot and Kafka."""

    def __init__(self) -> None:
        clock, telemetry = LoopClock(), Telemetry()
        self.kafka, self.hubspot, self.suppressed = ReceiptsKafka(), HubSpot(), Suppressed()
        self.omissions = UnwritableProperties()
        self.lanes, self.offsets = Lanes(clock), Offsets()
        self.offsets.assigned({(f"lifecycle.{event_type}", 0): 0 for event_type in EVENTS})
        self.topic = self.kafka.topic(clock)
        receipts = Receipts(self.topic, self.offsets, self.omissions, clock)
        halt, lease, dead = CircuitBreaker(clock), Lease(clock), cast("Any", DeadLetters())
        lease.renew(1e9)
        rejections = Rejections(100, dead, halt, clock, receipts)
        writer = LaneWriter(
            lanes=self.lanes,
            destination=self.hubspot,
            contacts=ContactWriter(self.hubspot, self.omissions, halt),
            timeline=Timeline(self.lanes, self.hubspot, rejections, lease, halt),
            rejections=rejections,
            suppressions=cast("Any", self.suppressed),
            moves=ContactMoves(self.lanes, self.hubspot, cast("Any", None), clock),
            lease=lease,
            breaker=halt,
            clock=clock,
            telemetry=telemetry,
            jitter=random.Random(1),
            receipts=receipts,
            resyncs=no_resyncs(clock),
        )
        self.delivery = Dispatcher(self.lanes, self.hubspot, writer, halt, lease)
        alignment: Any = type("Alignment", (), {"read": lambda *_: None})()
        self.reading = RecordConsumer(
            lanes=self.lanes,
            delivery=self.delivery,
            offsets=self.offsets,
            alignment=alignment,
            suppressions=cast("Any", self.suppressed),
            dead_letters=dead,
            clock=clock,
            telemetry=telemetry,
            receipts=receipts,
        )

    async def take(self, *records: Record) -> None:
        for one in records:
            await self.reading.take(one)

    @property
    def acked(self) -> set[int]:
        """The last offset of each partition up to which everything is acknowledged."""
        return {offset - 1 for offset in self.offsets.committable().values()}

    async def run(self, *records: Record, write: bool = True) -> list[Receipt]:
        """Return the receipts when all is delivered that can be."""
        tasks = [asyncio.create_task(self.delivery.run())]
        if write:
            tasks += [asyncio.create_task(self.topic.write()), asyncio.create_task(self.topic.release_late())]
        await self.take(*records)
        await asyncio.sleep(120)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return self.kafka.receipts


def made(sequence: int, event_type: str = "nova_earned", **changes: Any) -> Record:
    body = value(envelope(event_type, sequence, **changes))
    return record(f"lifecycle.{event_type}", offset=sequence, key=EMAIL.encode(), value=body)


def test_a_delivered_event_leaves_what_there_is_to_know() -> None:
    async def work() -> None:
        worker = Worker()

        [receipt] = await worker.run(made(1))

        assert receipt.at > START
        assert receipt.model_dump(exclude={"at"}) == {
            "event_id": "00000000-0000-0000-0000-000000000001",
            "type": "nova_earned",
            "sequence": 1,
            "outcome": "delivered",
            "attempts": 1,
            "topic": "lifecycle.nova_earned",
            "partition": 0,
            "offset": 1,
            "published_at": PUBLISHED,
            "contact_id": "501",
            "properties": (
                "nerava_contact_key",
                "nerava_event_sequence",
                "nerava_external_id",
                "nerava_last_nova_earned_at",
                "nerava_nova_balance_cents",
                "nerava_total_nova_earned_cents",
            ),
            "reason": None,
            "detail": None,
        }
        [(key, sent)] = worker.kafka.records
        # It is written without the model.
        assert (key, sent) == (EMAIL.encode(), receipt.model_dump_json().encode())
        assert worker.acked == {1}

    run_fast(work())


def test_attempts_count_the_one_that_was_answered_and_properties_left_out_are_none() -> None:
    async def work() -> None:
        worker = Worker()
        worker.hubspot.answers = [RetryLater("423"), RetryLater("423")]
        worker.omissions.names.add("nerava_nova_balance_cents")

        [receipt] = await worker.run(made(1))

        assert receipt.attempts == 3
        assert "nerava_nova_balance_cents" not in receipt.properties
        assert "nerava_event_sequence" in receipt.properties

    run_fast(work())


def test_of_a_fold_each_event_has_a_receipt_and_the_guilty_one_is_no_delivery() -> None:
    async def work() -> None:
        worker = Worker()
        # As a new contact, as one that exists, and the first alone.
        worker.hubspot.answers = [NO, NO, NO]

        receipts = await worker.run(made(1), made(2))

        assert [(one.sequence, one.outcome) for one in receipts] == [(1, "dead_lettered"), (2, "delivered")]
        assert receipts[0].reason == "rejected_by_hubspot"
        assert (receipts[0].detail or "").startswith("400: xxx")
        assert len(receipts[0].detail or "") == LONGEST_KEPT
        assert receipts[0].properties == ()
        assert worker.acked == {2}

    run_fast(work())


def test_an_event_whose_entry_is_refused_is_dead_lettered_once_and_has_set_its_properties() -> None:
    async def work() -> None:
        worker = Worker()
        no = Rejected("timeline_entry_rejected", "400")
        # Both entries in a call, then each alone.
        worker.hubspot.timeline = [no, None, no]

        receipts = await worker.run(made(1), made(2))

        found = {(one.sequence, one.outcome, one.reason, one.contact_id, bool(one.properties)) for one in receipts}
        assert found == {
            (1, "delivered", None, "501", True),
            (2, "dead_lettered", "timeline_entry_rejected", "501", True),
        }
        assert len(receipts) == 2

    run_fast(work())


def test_a_suppressed_contacts_event_leaves_a_receipt_without_an_attempt() -> None:
    async def work() -> None:
        worker = Worker()
        worker.suppressed.add(ContactKey(EMAIL))

        [receipt] = await worker.run(made(1))

        assert (receipt.outcome, receipt.attempts, receipt.contact_id, receipt.properties) == (
            "suppressed",
            0,
            None,
            (),
        )
        assert worker.acked == {1}

    run_fast(work())


def test_a_contact_that_is_suppressed_while_its_event_waits_leaves_a_receipt_too() -> None:
    async def work() -> None:
        worker = Worker()
        await worker.take(made(1))
        worker.suppressed.add(ContactKey(EMAIL))

        [receipt] = await worker.run()

        assert receipt.outcome == "suppressed"
        assert worker.acked == {1}

    run_fast(work())


@pytest.mark.parametrize(
    ("unreadable", "expected"),
    [
        (
            record("lifecycle.nova_earned", key=EMAIL.encode(), value=b"{}", headers=Headers("7", "", 4).encode()),
            ("7", "nova_earned", 4, EMAIL.encode(), "invalid_envelope"),
        ),
        (
            record("lifecycle.nova_earned", key=b"nobody", value=b"?"),
            (None, "nova_earned", None, b"", "invalid_envelope"),
        ),
        (
            record(key=b"", value=b"{}", headers=[("id", b"x" * 99), ("type", b"foo"), ("sequence", b"no")]),
            ("x" * 64, "foo", None, b"", "missing_key"),
        ),
        (record(key=b"\xff", value=b"{}"), (None, "nova_earned", None, b"", "invalid_envelope")),
    ],
)
def test_a_record_that_nobody_can_read_leaves_what_its_headers_tell(
    unreadable: Record, expected: tuple[Any, ...]
) -> None:
    async def work() -> None:
        worker = Worker()
        if expected[2]:
            # Its lane passes over it once what is before it is known.
            await worker.take(*(made(sequence) for sequence in (1, 2, 3)))

        receipts = [one for one in await worker.run(unreadable) if one.outcome == "dead_lettered"]

        [(receipt, key)] = [
            (one, key)
            for one, (key, _) in zip(worker.kafka.receipts, worker.kafka.records, strict=True)
            if one.outcome == "dead_lettered"
        ]
        assert receipts == [receipt]
        assert (receipt.event_id, receipt.type, receipt.sequence, key, receipt.reason) == expected
        assert (receipt.attempts, receipt.contact_id, receipt.properties) == (0, None, ())
        assert receipt.detail
        assert unreadable.offset in worker.acked

    run_fast(work())


def test_nothing_is_acked_before_its_receipt_is_on_kafka() -> None:
    async def work() -> None:
        worker = Worker()
        worker.suppressed.add(ContactKey("grace@example.com"))
        suppressed = record(
            offset=9, key=b"grace@example.com", value=value(envelope("nova_earned", 1, "grace@example.com"))
        )
        unreadable = record(offset=10, key=b"nobody", value=b"?")

        await worker.run(made(1), suppressed, unreadable, write=False)

        assert worker.lanes.can_run == 0, "the event is delivered"
        assert worker.topic.waiting == 3
        assert worker.acked == set()

        await worker.run()

        assert worker.acked == {10}

    run_fast(work())


def test_a_receipt_of_partitions_that_are_gone_is_sent_and_acks_nothing() -> None:
    async def work() -> None:
        worker = Worker()
        await worker.run(made(1), write=False)
        worker.reading.forget()

        [receipt] = await worker.run()

        assert receipt.outcome == "delivered"
        assert worker.acked == set()

    run_fast(work())
