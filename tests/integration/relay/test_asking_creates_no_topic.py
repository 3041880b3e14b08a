"""A broker with Kafka's default settings creates what it is asked about. Nothing of ours asks so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.services import Service
from tests.commands import run
from tests.console.server import sign_in
from tests.kafka import topic_list
from tests.pipeline import OPERATOR_TOKEN, Pipeline, running_pipeline
from tests.polling import eventually

LOOKS_AGAIN_WITHIN_S = 3.5
NO_DEAD_LETTERS = "no dead letters' topic"
# What each says where there is no topic at all.
COMMANDS = {
    "producer topics --dry-run": "missing",
    "producer recover": "there is no topic",
    "hubspot_consumer doctor": "no such topic",
    "hubspot_consumer doctor --offline": "no such topic",
    "hubspot_consumer provision": "the portal lacks nothing",
    "hubspot_consumer replay --from-earliest --dry-run": NO_DEAD_LETTERS,
    "hubspot_consumer replay --from-earliest --yes": NO_DEAD_LETTERS,
    "hubspot_consumer resync ada@example.com --dry-run": NO_DEAD_LETTERS,
    "hubspot_consumer audit --yes": NO_DEAD_LETTERS,
    "hubspot_consumer redrive --dry-run": NO_DEAD_LETTERS,
    "hubspot_consumer dead-letters list": NO_DEAD_LETTERS,
    "hubspot_consumer pause --note why --dry-run": "would be paused",
    "hubspot_consumer resume --dry-run": "was not paused",
    "hubspot_consumer suppress ada@example.com --dry-run": "would be",
}
# Those that look for the event topics only where there is one of the dead letters.
READING = ("replay --from-earliest --yes", "resync ada@example.com", "audit --yes")


@pytest.fixture
async def without_topics(tmp_path: Path, kafka: Any, database_url: str, topic_prefix: str) -> AsyncIterator[Pipeline]:
    async with running_pipeline(tmp_path, kafka, database_url, topic_prefix, topics=False) as pipeline:
        yield pipeline


async def topics_of(pipeline: Pipeline) -> dict[str, int]:
    return await topic_list.topics_of(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], pipeline.topics.prefix)


async def none_is_created(pipeline: Pipeline) -> None:
    """Return after so long that a service has looked again."""
    until = asyncio.get_running_loop().time() + LOOKS_AGAIN_WITHIN_S
    while asyncio.get_running_loop().time() < until:
        assert await topics_of(pipeline) == {}
        await asyncio.sleep(0.2)


async def test_a_broker_of_the_tests_creates_what_it_is_asked_about(kafka: Any, topic_prefix: str) -> None:
    name = f"{topic_prefix}asked_about"

    await topic_list.ask_about(kafka.bootstrap_servers, name)

    async def created() -> bool:
        return await topic_list.topics_of(kafka.bootstrap_servers, topic_prefix) == {name: 1}

    await eventually(created, saying="the topic is there")


async def test_no_command_creates_a_topic_by_looking_for_it(without_topics: Pipeline) -> None:
    for command, says in COMMANDS.items():
        module, *arguments = command.split()
        done = await run(module, *arguments, environment=without_topics.environment)

        assert says in done.output + done.errors, command
        assert await topics_of(without_topics) == {}, command


async def test_a_run_that_finds_no_event_topics_creates_neither_them_nor_what_it_would_need(
    without_topics: Pipeline,
) -> None:
    servers, dead_letters = without_topics.environment["KAFKA_BOOTSTRAP_SERVERS"], without_topics.topics.dead_letters
    await topic_list.create(servers, {dead_letters: 1})

    for command in READING:
        done = await without_topics.run(*command.split())

        assert "no such topic" in done.errors, command
        assert await topics_of(without_topics) == {dead_letters: 1}, command


async def test_services_wait_for_their_topics_and_create_none(without_topics: Pipeline) -> None:
    await without_topics.commit(20)
    services = [
        Service(f"{command}-{number}", command.split(), without_topics.directory, without_topics.environment | more)
        for number, (command, more) in enumerate(
            (
                ("hubspot_consumer worker", {}),
                ("hubspot_consumer worker", {"HUBSPOT_SEND_LIVE": "false", "CONSUMER_PORT": "0"}),
                ("producer serve", {}),
                ("producer relay", {}),
            )
        )
    ]
    try:
        for service in services:
            service.launch()

        async def have_looked() -> bool:
            return all("no such topic" in service.log.read_text() for service in services)

        await eventually(have_looked, saying="each service says that there are no topics")
        await none_is_created(without_topics)
        assert all(service.running for service in services)
    finally:
        for service in services:
            await service.kill()


async def test_a_console_shows_that_there_are_no_topics_and_creates_none(without_topics: Pipeline) -> None:
    console = without_topics.console()
    await console.launch_and_wait()
    async with httpx.AsyncClient(base_url=console.url, follow_redirects=True) as http:
        await sign_in(http, OPERATOR_TOKEN)

        async def shown() -> bool:
            pages = [(await http.get(path)).text for path in ("/", "/contacts", "/dead-letters", "/replay", "/control")]
            return "can&#39;t be read" in pages[0]

        await eventually(shown, saying="the overview says that Kafka's topics can't be read")
    assert await topics_of(without_topics) == {}


async def test_a_topic_that_is_deleted_while_the_services_run_stays_deleted(pipeline: Pipeline) -> None:
    relay, worker, console = pipeline.producer(), pipeline.consumer(), pipeline.console()
    for service in (relay, worker, console):
        await service.launch_and_wait()
    await pipeline.commit(100)
    await pipeline.until_published()
    await pipeline.until_finished()
    deleted = pipeline.topics.of("nova_earned")

    await topic_list.delete(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], deleted)
    await pipeline.commit(100, seed=2)

    async def told() -> bool:
        unwell = (await relay.health())[1].get("unwell", {})
        return f"no such topic: {deleted}" in str(unwell) and not worker.running

    await eventually(told, saying="the relay says that the topic is gone, and the worker ends")
    assert f"{deleted}: []" in worker.log.read_text()
    worker.launch()

    async def waits() -> bool:
        return f"no such topic: {deleted}" in str((await worker.health())[1])

    await eventually(waits, saying="the next worker waits for the topic")
    assert deleted not in await topics_of(pipeline)
