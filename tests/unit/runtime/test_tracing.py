"""Spans of what is done for many events, and their links: to the traces that the events come from."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, StatusCode

from hubspot_consumer.delivery.batches import Batch
from hubspot_consumer.delivery.timeline import timeline_items
from hubspot_consumer.hubspot.requests import Note
from hubspot_consumer.ordering.lane import ContactUpdate, Lane
from hubspot_consumer.ordering.pending import Pending
from producer.relay.row import Row
from producer.relay.sender import Sender
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.tracing import linked_span
from schemas.contacts import ContactKey
from schemas.topics import Topics
from tests.foreign.spans import ANOTHER, NOT_SAMPLED, RUBBISH, TRACEPARENT, Spans, headers_of, linked
from tests.samples import EMAIL, read, record

PLACE = ("lifecycle.nova_earned", 3)


def test_a_span_is_linked_once_to_each_trace(spans: Spans) -> None:
    with linked_span("send", SpanKind.PRODUCER, {}, [TRACEPARENT, None, ANOTHER, TRACEPARENT]):
        pass

    assert linked(spans.one) == [TRACEPARENT, ANOTHER]


@pytest.mark.parametrize("traceparent", [RUBBISH, "", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", TRACEPARENT[:-1]])
def test_what_is_no_traceparent_is_no_link(spans: Spans, traceparent: str) -> None:
    with linked_span("send", SpanKind.PRODUCER, {}, [traceparent, TRACEPARENT]):
        pass

    assert linked(spans.one) == [TRACEPARENT]


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2}.?"))
def test_whatever_stands_in_for_a_traceparent_does_no_harm(traceparent: str) -> None:
    recorded = Spans()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.tracing._TRACER", recorded.tracer)
        with linked_span("send", SpanKind.PRODUCER, {}, [traceparent, TRACEPARENT]):
            pass

    assert linked(recorded.one)[-1] == TRACEPARENT


def test_a_trace_that_nobody_recorded_takes_no_links_place(spans: Spans) -> None:
    with linked_span("send", SpanKind.PRODUCER, {}, [NOT_SAMPLED, TRACEPARENT]):
        pass

    assert linked(spans.one) == [TRACEPARENT]


def test_until_opentelemetry_is_set_up_nobody_looks_for_traces() -> None:
    def traceparents() -> Iterator[str]:
        raise AssertionError("looked for")
        yield

    with linked_span("send", SpanKind.PRODUCER, {}, traceparents()) as span:
        assert not span.is_recording()


def test_a_fault_is_named_and_not_quoted(spans: Spans) -> None:
    with pytest.raises(ValueError, match="ada"), linked_span("send", SpanKind.PRODUCER, {}, []):
        raise ValueError(EMAIL)

    assert spans.one.status.status_code is StatusCode.ERROR
    assert (spans.one.attributes or {})["error.type"] == "ValueError"
    assert EMAIL not in spans.one.to_json()


class Batches:
    """Kafka's producer, as far as the sender needs it. *room* is how many rows a batch takes."""

    def __init__(self, room: int, fault: Exception | None = None) -> None:
        self._room = room
        self._fault = fault

    def create_batch(self) -> "Batches":
        return self

    def append(self, **_record: Any) -> object | None:
        self._room -= 1
        return None if self._room < 0 else self

    def close(self) -> None:
        pass

    async def send_batch(self, _batch: object, _topic: str, *, partition: int) -> Any:
        assert partition == PLACE[1]

        async def acknowledged() -> SimpleNamespace:
            if self._fault is not None:
                raise self._fault
            return SimpleNamespace(offset=0)

        return acknowledged()


def sender_of(batches: Batches) -> Sender:
    sender = Sender({}, Topics(), SystemClock(), Telemetry())
    sender._producer = cast("Any", batches)
    return sender


def row(position: int, traceparent: str | None) -> Row:
    return Row(position, f"id-{position}", EMAIL, "nova_earned", position, "{}", traceparent)


async def test_a_batch_to_kafka_is_a_span_linked_to_the_traces_of_its_rows(spans: Spans) -> None:
    rows = [row(1, TRACEPARENT), row(2, None), row(3, RUBBISH), row(4, ANOTHER), row(5, "of the next batch")]

    assert await sender_of(Batches(4)).send(PLACE, rows) == 4

    assert (spans.one.name, spans.one.kind) == ("send lifecycle.nova_earned", SpanKind.PRODUCER)
    assert spans.one.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "lifecycle.nova_earned",
        "messaging.destination.partition.id": "3",
        "messaging.batch.message_count": 4,
    }
    assert linked(spans.one) == [TRACEPARENT, ANOTHER]
    assert spans.one.status.status_code is StatusCode.UNSET


async def test_a_batch_that_kafka_did_not_acknowledge_is_an_error(spans: Spans) -> None:
    with pytest.raises(KafkaConnectionError):
        await sender_of(Batches(1, KafkaConnectionError())).send(PLACE, [row(1, TRACEPARENT)])

    assert spans.one.status.status_code is StatusCode.ERROR
    assert (spans.one.attributes or {})["error.type"] == "KafkaConnectionError"
    assert linked(spans.one) == [TRACEPARENT]


def test_what_hubspot_is_asked_comes_from_the_records_of_the_events() -> None:
    first, second = record(headers=headers_of(TRACEPARENT)), record(headers=headers_of(ANOTHER))
    lane = Lane(ContactKey(EMAIL), contact_id="1")
    events = [Pending(1, read(sequence=1), first, lambda: None), Pending(2, read(sequence=2), second, lambda: None)]
    fold = ContactUpdate(lane, events)

    (upsert,) = Batch([fold]).upserts
    items = timeline_items([fold])

    assert [one.traceparent for one in upsert.records] == [TRACEPARENT, ANOTHER]
    assert [list(item.entry.records) for item in items] == [[first], [second]]
    assert [list(Note("1", item.entry).records) for item in items] == [[first], [second]]
