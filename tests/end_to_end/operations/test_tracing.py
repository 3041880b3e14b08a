"""From a span of the caller's to the calls to HubSpot: services that OpenTelemetry's own command has set up."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from opentelemetry.instrumentation import auto_instrumentation
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from hubspot_consumer.hubspot.paths import PATHS
from producer import track_event
from tests.foreign.spans import RUBBISH, Spans, traceparent_of
from tests.pipeline import API_VERSION, NOTES, Pipeline
from tests.samples import EMAIL, PAYLOADS

pytestmark = pytest.mark.timeout(240)

# What `opentelemetry-instrument --traces_exporter console --metrics_exporter none --logs_exporter none` hands on.
INSTRUMENTED = {
    "PYTHONPATH": str(Path(auto_instrumentation.__file__).parent),
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


@pytest.fixture
def engine(pipeline: Pipeline) -> Iterator[Engine]:
    url = make_url(pipeline.database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()


async def test_a_callers_trace_is_linked_to_by_the_batch_and_by_each_call_to_hubspot(
    pipeline: Pipeline, engine: Engine
) -> None:
    producer, worker = pipeline.producer(**INSTRUMENTED), pipeline.consumer(**INSTRUMENTED)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    with Spans().tracer.start_as_current_span("a reward") as span, Session(engine) as db:
        traceparent = traceparent_of(span.get_span_context())
        track_event(db, "driver_signed_up", PAYLOADS["driver_signed_up"])
        # Other languages call the function; it takes any text that can be stored.
        parameters = {"payload": json.dumps(PAYLOADS["nova_earned"]), "trace": RUBBISH}
        db.execute(
            text("SELECT track_lifecycle_event('nova_earned', CAST(:payload AS jsonb), now(), :trace)"), parameters
        )
        db.commit()
    await pipeline.until_arrived(2)

    assert await _header(pipeline, "driver_signed_up") == traceparent
    assert await _header(pipeline, "nova_earned") == RUBBISH
    assert (await producer.stop(), await worker.stop()) == (0, 0)
    # Health was asked all the time, and is no trace.
    assert {span["kind"] for span in _spans(producer.log) + _spans(worker.log)} == {
        "SpanKind.PRODUCER",
        "SpanKind.CLIENT",
    }
    assert _linked(_spans(producer.log), traceparent) == {f"send {pipeline.topics.of('driver_signed_up')}"}
    paths = next(paths for version, paths in PATHS.items() if version == API_VERSION)
    entry = f"{paths.notes}/batch/create" if NOTES else paths.send_events
    assert _linked(_spans(worker.log), traceparent) == {f"POST {paths.contacts}/batch/create", f"POST {entry}"}
    assert EMAIL not in producer.log.read_text() + worker.log.read_text()


async def _header(pipeline: Pipeline, event_type: str) -> str:
    topic, servers = pipeline.topics.of(event_type), pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        headers = dict((await asyncio.wait_for(consumer.getone(), 30)).headers)
    traceparent: bytes = headers["traceparent"]
    return traceparent.decode()


def _spans(log: Path) -> list[dict[str, Any]]:
    """Return what the console exporter printed, between the lines of the log."""
    spans, lines = [], iter(log.read_text().splitlines())
    for line in lines:
        if line == "{":
            body = list(iter(lambda: next(lines), "}"))
            spans.append(json.loads("\n".join(["{", *body, "}"])))
    return spans


def _linked(spans: list[dict[str, Any]], traceparent: str) -> set[str]:
    """Return the names of those spans that are linked to the trace."""
    _, trace_id, span_id, _ = traceparent.split("-")
    wanted = {"trace_id": f"0x{trace_id}", "span_id": f"0x{span_id}"}
    return {
        span["name"]
        for span in spans
        for link in span["links"]
        if {name: link["context"][name] for name in wanted} == wanted
    }
