"""What Prometheus finds at /metrics of both services, after a day of traffic and a dead letter."""

import asyncio

import httpx
import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as families_of

from sandbox.services import Service
from sandbox.simulator import TOKEN
from tests.foreign.monitoring import queries
from tests.foreign.promql import Exposed
from tests.outbox.intake import TOKEN as INTAKE_TOKEN
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = (
    "SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', 'usr_1',"
    " 'email', 'ada@example.com', 'auth_provider', 'apple', 'created_at', now()),"
    " occurred_at => now() - interval '1 year',"
    f" traceparent => '00-{TRACE_ID}-00f067aa0ba902b7-01')"
)
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


async def metrics(service: Service, accept: str = "text/plain") -> str:
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{service.url}/metrics", headers={"Accept": accept})).raise_for_status().text


@pytest.fixture
async def services(pipeline: Pipeline) -> tuple[Service, Service]:
    """A producer and a worker that have delivered a day, one event of it poisoned."""
    producer, worker = pipeline.producer(PRODUCER_INTAKE_TOKEN=INTAKE_TOKEN), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(200)
    await pipeline.all_arrive(dead=1)
    await pipeline.until_finished()
    return producer, worker


async def test_every_metric_that_is_asked_for_is_there_says_what_happened_names_nobody_and_leads_to_a_trace(
    pipeline: Pipeline, services: tuple[Service, Service]
) -> None:
    await hold_that_alerts_and_the_dashboard_find_theirs(pipeline, services)
    await hold_that_they_say_what_happened_and_name_nobody(pipeline, services)
    await hold_that_the_time_of_a_traced_event_leads_to_its_trace(pipeline, services)


async def hold_that_alerts_and_the_dashboard_find_theirs(pipeline: Pipeline, services: tuple[Service, Service]) -> None:
    exposed, prefix = Exposed(), pipeline.environment["KAFKA_TOPIC_PREFIX"]
    for service in services:
        exposed.add(await metrics(service))

    assert list(exposed.faults_of(query.replace("lifecycle.", prefix) for query in queries())) == []
    # Only what has not happened: no batch was refused by Kafka.
    assert exposed.empty == {"producer_publishing_faults_total"}


async def hold_that_they_say_what_happened_and_name_nobody(
    pipeline: Pipeline, services: tuple[Service, Service]
) -> None:
    producer, worker = services
    committed = len((await pipeline.ledger()).events)

    async def seen_to_the_end() -> bool:
        return not sum(values(await metrics(worker), "hubspot_consumer_lag_events"))

    await eventually(seen_to_the_end, every_s=0.5, saying="the lag is seen to be gone")
    told = await metrics(worker)
    assert sum(values(await metrics(producer), "producer_events_published_total")) == committed
    assert sum(values(told, "hubspot_consumer_events_delivered_total")) == committed - 1
    assert sum(values(told, "hubspot_consumer_dead_letters_total")) == 1
    # Every event was in a fold at least once; the ages are those of this test, whatever the events say of themselves.
    assert sum(values(told, "hubspot_consumer_fold_events_sum")) >= committed - 1
    assert values(told, "hubspot_consumer_event_age_seconds_count") == [committed - 1]
    assert 0 < values(told, "hubspot_consumer_event_age_seconds_sum")[0] / committed < 60
    assert sum(values(told, "hubspot_consumer_batch_size_count")) >= 2
    assert sum(values(told, "hubspot_consumer_unwell")) == 0
    for text in (told, await metrics(producer)):
        assert "@" not in text
        assert TOKEN not in text


async def hold_that_the_time_of_a_traced_event_leads_to_its_trace(
    pipeline: Pipeline, services: tuple[Service, Service]
) -> None:
    _, worker = services
    arrived = await pipeline.arrived()
    async with await psycopg.AsyncConnection.connect(pipeline.database_url, autocommit=True) as db:
        await db.execute(TRACED)
    await pipeline.until_arrived(arrived + 1)
    await pipeline.until_finished()

    text = await metrics(worker, OPENMETRICS)

    exemplars = {
        one.name: one.exemplar
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for one in family.samples
        if one.exemplar
    }
    assert {name: exemplar.labels for name, exemplar in exemplars.items()} == {
        "hubspot_consumer_delivery_seconds_bucket": {"trace_id": TRACE_ID},
        "hubspot_consumer_event_age_seconds_bucket": {"trace_id": TRACE_ID},
    }
    # The year that the caller gave it is no time that anything took.
    age, delivery = (exemplars[f"hubspot_consumer_{name}_seconds_bucket"].value for name in ("event_age", "delivery"))
    assert delivery <= age + 0.002 < 60


def values(text: str, name: str) -> list[float]:
    return [one.value for family in families_of(text) for one in family.samples if one.name == name]
