"""Kafka over TLS, as a user: all of it works by the KAFKA_* settings alone, and what is wrong with them ends it.

The producer's services wait for a login instead.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.certificate import Certificate
from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Secured
from sandbox.services import Service
from sandbox.simulator import TOKEN
from tests.commands import Done, run
from tests.pipeline import Pipeline, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(300)

EVENTS = 200
# One that is written out; `a***@example.com` is not.
AN_EMAIL = re.compile(r"[\w.+'-](?:@|%40|\\u0040)[\w-]+\.[a-z]{2,}", re.IGNORECASE)
PASSWORD = "open-sesame-kafka"
WRONG = "of-somebody-else"


@pytest.fixture
async def pipeline(
    tmp_path: Path, secured_kafka: EmbeddedKafka, database_url: str, topic_prefix: str
) -> AsyncIterator[Pipeline]:
    """The whole path, without topics: our own command is to make them."""
    async with running_pipeline(tmp_path, secured_kafka, database_url, topic_prefix, topics=False) as running:
        running.environment |= secured_kafka.environment
        yield running


async def created(pipeline: Pipeline) -> Done:
    return await run("producer", "topics", environment={**pipeline.environment, "KAFKA_PARTITIONS": "6"})


async def finding(pipeline: Pipeline, name: str) -> dict[str, Any]:
    told = json.loads((await pipeline.run("doctor", "--json")).output)
    [found] = [one for one in told["findings"] if one["name"] == name]
    return dict(found)


async def shows_nobody(url: str) -> None:
    """Hold that what needs no token shows no secret, and no email but masked ones."""
    async with httpx.AsyncClient(base_url=url) as http:
        shown = "".join([(await http.get(path)).text for path in ("/v1/health", "/v1/status", "/metrics")])
    assert len(shown) > 1_000
    assert AN_EMAIL.findall(shown) == []
    assert [secret for secret in (TOKEN, PASSWORD) if secret in shown] == []


@pytest.mark.chaos
async def test_every_command_works_over_tls_as_a_user_by_its_settings_alone(pipeline: Pipeline) -> None:
    topics = await created(pipeline)
    assert (topics.code, topics.output.count("created  ")) == (0, len(pipeline.topics.all)), topics
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())

    await pipeline.commit(EVENTS)
    # One of a day is poisoned.
    await pipeline.all_arrive(dead=1)

    for url in (producer.url, worker.url):
        await shows_nobody(url)
    [letter] = (await pipeline.run("dead-letters", "list", "--json")).output.splitlines()
    assert json.loads(letter)["state"] == "dead"
    for name in ("kafka", "topics", "group", "lag"):
        assert (await finding(pipeline, name))["level"] == "ok", name
    before = await pipeline.simulator.entries()
    replayed = await pipeline.run("replay", "--from-earliest", "--yes", "--folder", str(pipeline.directory / "runs"))
    assert replayed.code == 0, replayed
    assert await pipeline.simulator.entries() == before
    discarded = await pipeline.run("dead-letters", "discard", "--reason", "invalid_envelope", "--why", "test", "--yes")
    assert discarded.code == 0, discarded
    pausing = (["pause", "--note", "why"], ["resume"])
    for command in (["audit"], ["redrive", "--yes"], ["suppress", "ada@example.com"], *pausing):
        done = await pipeline.run(*command)
        assert done.code == 0, done
    assert (await producer.stop(), await worker.stop()) == (0, 0)
    assert PASSWORD not in producer.log.read_text() + worker.log.read_text()


ENTRIES = (
    "producer topics",
    "hubspot_consumer worker",
    "hubspot_consumer replay --from-earliest --dry-run --folder FOLDER",
    "hubspot_consumer resync ada@example.com",
    "hubspot_consumer audit",
    "hubspot_consumer redrive --yes",
    "hubspot_consumer dead-letters list",
    "hubspot_consumer suppress ada@example.com",
    "hubspot_consumer pause --note why",
)
A_LOG_LINE = "{"


SERVICES_AND_A_COMMAND_OF_EACH = ("producer topics", "producer serve", "hubspot_consumer worker", ENTRIES[2])


@pytest.mark.parametrize(
    ("changed", "named", "entries"),
    [
        ({"KAFKA_SASL_PASSWORD": WRONG}, "KAFKA_SASL_PASSWORD: ", ENTRIES),
        ({"KAFKA_SSL_CAFILE": ""}, "KAFKA_SSL_CAFILE: ", SERVICES_AND_A_COMMAND_OF_EACH),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "KAFKA_SECURITY_PROTOCOL: ", SERVICES_AND_A_COMMAND_OF_EACH),
    ],
)
async def test_what_kafka_refuses_is_one_line_that_names_it_and_exit_code_2_of_every_command(
    pipeline: Pipeline, changed: dict[str, str], named: str, entries: tuple[str, ...]
) -> None:
    environment = {**pipeline.environment, **changed}
    folder = str(pipeline.directory / "runs")
    two_at_once = asyncio.Semaphore(2)

    async def refused(entry: str) -> Done:
        module, *arguments = entry.replace("FOLDER", folder).split()
        async with two_at_once:
            return await run(module, *arguments, environment=environment)

    for entry, done in zip(entries, await asyncio.gather(*map(refused, entries)), strict=True):
        said = [line for line in done.errors.splitlines() if not line.startswith(A_LOG_LINE)]
        logged = [line for line in done.errors.splitlines() if line.startswith(A_LOG_LINE)]
        assert (done.code, len(said), done.output) == (2, 1, ""), (entry, done)
        assert said[0].startswith(named), (entry, done)
        assert pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"] in said[0]
        # Of aiokafka's own, who would try again.
        assert "Unable" not in "".join(logged), (entry, done)
        assert WRONG not in done.errors
    doctor = await pipeline.run("doctor", "--offline", **changed)
    assert doctor.code == 2
    assert f"fail  kafka             {named}" in doctor.output


@pytest.fixture
async def own_pipeline(
    tmp_path: Path, certificate: Certificate, database_url: str, topic_prefix: str
) -> AsyncIterator[tuple[Pipeline, EmbeddedKafka]]:
    """The whole path on a broker of its own, whose password may change."""
    broker = EmbeddedKafka(tmp_path / "kafka", listener=Secured(certificate, "the-old-password", "PLAIN"))
    await broker.start()
    try:
        async with running_pipeline(tmp_path, broker, database_url, topic_prefix, topics=False) as running:
            running.environment |= broker.environment
            assert (await created(running)).code == 0
            yield running, broker
    finally:
        await broker.kill()


async def change_password(broker: EmbeddedKafka, password: str) -> None:
    await broker.kill()
    assert isinstance(broker.listener, Secured)
    broker.listener = replace(broker.listener, password=password)
    await broker.start()


async def until_unwell(service: Service, named: str) -> None:
    async def says_so() -> bool:
        return str((await service.health())[1].get("unwell", {}).get("kafka", "")).startswith(named)

    await eventually(says_so, saying=f"{service.name} says {named}")


async def until_ended(service: Service) -> None:
    async def has_ended() -> bool:
        return not service.running

    await eventually(has_ended, saying=f"{service.name} ends")


@pytest.mark.chaos
async def test_a_password_that_is_refused_later_is_an_outage_which_ends_when_it_is_taken_again(
    own_pipeline: tuple[Pipeline, EmbeddedKafka],
) -> None:
    pipeline, broker = own_pipeline
    services = producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())

    await change_password(broker, "the-new-password")
    for service in services:
        await until_unwell(service, "KAFKA_SASL_PASSWORD: ")
    await pipeline.commit(20)
    await change_password(broker, "the-old-password")

    await pipeline.all_arrive(dead=1)
    for service in services:
        await eventually(service.healthy, saying=f"{service.name} is well again")
        assert service.running


async def test_a_producer_whose_login_is_refused_waits_and_goes_on_with_what_its_file_has_by_then(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    assert (await created(pipeline)).code == 0
    password = tmp_path / "password"
    password.write_text(WRONG)
    producer = pipeline.producer(KAFKA_SASL_PASSWORD="", KAFKA_SASL_PASSWORD_FILE=str(password))
    producer.launch()

    await until_unwell(producer, "KAFKA_SASL_PASSWORD: ")
    assert (await producer.health())[0] == 503
    password.write_text(PASSWORD)

    await pipeline.commit(20)
    await pipeline.until_published()
    await eventually(producer.healthy, saying="the producer is well")
    assert WRONG not in producer.log.read_text()


@pytest.mark.chaos
async def test_a_worker_that_was_started_in_an_outage_ends_with_2_if_it_is_refused_at_its_end_and_a_producer_waits(
    own_pipeline: tuple[Pipeline, EmbeddedKafka],
) -> None:
    pipeline, broker = own_pipeline
    await broker.kill()
    services = producer, worker = pipeline.producer(), pipeline.consumer()
    producer.launch()
    worker.launch()
    for service in services:
        await until_unwell(service, "KAFKA_BOOTSTRAP_SERVERS: no broker")

    await change_password(broker, "the-new-password")

    await until_ended(worker)
    assert worker.exit_code == 2
    assert worker.log.read_text().splitlines()[-1].startswith("KAFKA_SASL_PASSWORD: "), worker.tail()
    await until_unwell(producer, "KAFKA_SASL_PASSWORD: ")
    await change_password(broker, "the-old-password")
    await eventually(producer.healthy, saying="the producer is well")
