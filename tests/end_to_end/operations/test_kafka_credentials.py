"""Kafka by a client's certificate, and by tokens: all of it works by the KAFKA_* settings alone.

What a broker refuses is waited for, because certificates and tokens are renewed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Secured
from sandbox.services import Service
from tests.commands import run
from tests.foreign.client_certificates import Authority
from tests.kafka.token_endpoint import CLIENT_SECRET, TokenServer
from tests.pipeline import Pipeline, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(300)

EVENTS = 200
# A day has one poisoned event.
POISONED = 1


@asynccontextmanager
async def pipeline_on(
    broker: EmbeddedKafka, directory: Path, database_url: str, prefix: str, **environment: str
) -> AsyncIterator[Pipeline]:
    """The whole path on *broker*, its topics made by our own command."""
    async with running_pipeline(directory, broker, database_url, prefix, topics=False) as running:
        running.environment |= {**broker.environment, "KAFKA_PARTITIONS": "6"}
        made = await run("producer", "topics", environment=running.environment)
        assert (made.code, made.output.count("created  ")) == (0, len(running.topics.all)), made
        running.environment |= environment
        yield running


COMMANDS = (
    "dead-letters list --json",
    "replay --from-earliest --yes --folder FOLDER",
    "audit",
    "suppress ada@example.com",
    "pause --note why",
    "resume",
)


@pytest.fixture(params=["mutual_kafka", pytest.param("bearer_kafka", marks=pytest.mark.chaos)])
def broker(request: pytest.FixtureRequest) -> Any:
    """Each of these brokers in turn."""
    return request.getfixturevalue(request.param)


async def test_events_arrive_and_every_command_works_by_the_settings_alone(
    broker: EmbeddedKafka, tmp_path: Path, database_url: str, topic_prefix: str
) -> None:
    async with pipeline_on(broker, tmp_path, database_url, topic_prefix) as pipeline:
        services = pipeline.producer(), pipeline.consumer(), pipeline.console()
        await asyncio.gather(*(service.launch_and_wait() for service in services))

        await pipeline.commit(EVENTS)
        await pipeline.all_arrive(dead=POISONED)

        doctor = await pipeline.run("doctor", "--offline")
        assert doctor.code in (0, 1), doctor
        assert "ok    kafka " in doctor.output
        for command in COMMANDS:
            done = await pipeline.run(*command.replace("FOLDER", str(tmp_path / "runs")).split())
            assert done.code == 0, (command, done)
        logs = "".join(service.log.read_text() for service in services)
        assert CLIENT_SECRET not in logs
        assert "Authorization" not in logs


async def until_unwell(service: Service, named: str) -> None:
    async def says_so() -> bool:
        return str((await service.health())[1].get("unwell", {}).get("kafka", "")).startswith(named)

    await eventually(says_so, saying=f"{service.name} says {named}")


async def heal(pipeline: Pipeline, services: tuple[Service, ...]) -> None:
    """Hold that the services go on where they are, and that events arrive."""
    await pipeline.commit(20)
    await pipeline.all_arrive(dead=POISONED)
    for service in services:
        await eventually(service.healthy, saying=f"{service.name} is well")


async def test_services_wait_for_a_good_certificate_from_their_start_on(
    mutual_kafka: EmbeddedKafka, authority: Authority, tmp_path: Path, database_url: str, topic_prefix: str
) -> None:
    files = {"KAFKA_SSL_CERTFILE": str(tmp_path / "client.pem"), "KAFKA_SSL_KEYFILE": str(tmp_path / "client.key")}

    def install(name: str, **options: Any) -> None:
        issued = authority.issue(name, **options)
        copy(issued.certfile, files["KAFKA_SSL_CERTFILE"])
        copy(issued.keyfile, files["KAFKA_SSL_KEYFILE"])

    install("old", lasts=timedelta(hours=-1))
    async with pipeline_on(mutual_kafka, tmp_path, database_url, topic_prefix, **files) as pipeline:
        services = pipeline.producer(), pipeline.consumer()
        for service in services:
            service.launch()
        for service in services:
            await until_unwell(service, "KAFKA_SSL_CERTFILE: ")

        install("new")

        await heal(pipeline, services)


@pytest.mark.chaos
async def test_a_password_that_is_rotated_in_its_file_needs_no_restart(
    tmp_path: Path, database_url: str, topic_prefix: str
) -> None:
    password = tmp_path / "password"
    password.write_text(CLIENT_SECRET)
    broker = EmbeddedKafka(tmp_path / "kafka", listener=Secured(None, CLIENT_SECRET, "PLAIN"))
    await broker.start()
    try:
        from_file = {"KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(password)}
        async with pipeline_on(broker, tmp_path, database_url, topic_prefix, **from_file) as pipeline:
            services = pipeline.producer(), pipeline.consumer()
            await asyncio.gather(*(service.launch_and_wait() for service in services))

            await broker.kill()
            broker.listener = Secured(None, f"new-{CLIENT_SECRET}", "PLAIN")
            await broker.start()
            for service in services:
                await until_unwell(service, "KAFKA_SASL_PASSWORD: ")
            password.write_text(f"new-{CLIENT_SECRET}")

            await heal(pipeline, services)
    finally:
        await broker.kill()


@pytest.mark.chaos
async def test_services_wait_for_a_good_token_and_go_on_beyond_the_end_of_each(
    bearer_kafka: EmbeddedKafka, tokens: TokenServer, tmp_path: Path, database_url: str, topic_prefix: str
) -> None:
    async with pipeline_on(bearer_kafka, tmp_path, database_url, topic_prefix) as pipeline:
        services = pipeline.producer(), pipeline.consumer()
        tokens.lies_by_s = 2 * tokens.lasts_s
        for service in services:
            service.launch()
        for service in services:
            await until_unwell(service, "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: ")

        # The broker closes each connection when its token ends.
        tokens.lies_by_s, tokens.lasts_s = 0, 5
        await heal(pipeline, services)
        asked = len(tokens.asked)
        await pipeline.commit(EVENTS, seed=2, per_s=15)
        await pipeline.all_arrive(dead=2 * POISONED)

    assert len(tokens.asked) > asked + 2
    tokens.lasts_s = 600
