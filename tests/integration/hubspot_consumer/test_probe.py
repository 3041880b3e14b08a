"""`python -m hubspot_consumer probe`: what it says before it calls, how it ends, and what the doctor says then."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubspot_consumer.doctor.environment import read_environment
from hubspot_consumer.doctor.examination import examine
from hubspot_consumer.doctor.last_probe import LastProbe
from hubspot_consumer.gates.pause import Pause, publish_pause, read_paused
from hubspot_consumer.probe.result import last_result
from hubspot_consumer.probe.run import MOST_CALLS, QUESTIONS
from hubspot_consumer.settings import KafkaSettings
from runtime.clock import SystemClock
from sandbox.processes import free_port
from sandbox.simulator import PORTAL_ID, TOKEN, Simulator
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.commands import Done, run
from tests.samples import ID_PROPERTY
from tests.simulators import running_simulator

MANY_CALLS = 10_000


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A provisioned portal."""
    async with running_simulator(tmp_path, "--id-property", ID_PROPERTY) as simulator:
        await simulator.change_settings(quota=MANY_CALLS)
        yield simulator


async def probe(simulator: Simulator, *arguments: str, **environment: str) -> Done:
    return await run("hubspot_consumer", "probe", *arguments, environment=settings(simulator) | environment)


def settings(simulator: Simulator) -> dict[str, str]:
    return {
        "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
        "HUBSPOT_PORTAL_ID": str(PORTAL_ID),
        "HUBSPOT_API_BASE_URL": simulator.url,
        "HUBSPOT_RATE_LIMIT": str(MANY_CALLS),
        "HUBSPOT_ID_PROPERTY": ID_PROPERTY,
    }


async def calls_of(simulator: Simulator) -> int:
    by_path = (await simulator.statistics())["calls"]
    return sum(number for statuses in by_path.values() for number in statuses.values())


async def test_without_yes_it_says_what_it_would_do_and_calls_nothing(simulator: Simulator) -> None:
    done = await probe(simulator)

    assert done.code == 0
    assert done.output.startswith(f"would ask portal {PORTAL_ID}, in at most {MOST_CALLS} calls:\n")
    assert all(question.name in done.output for question in QUESTIONS)
    assert "nerava-probe@example.com" in done.output
    assert done.output.endswith("nothing was called: run again with --yes\n")
    assert await calls_of(simulator) == 0


async def test_a_wrong_setting_ends_with_2(simulator: Simulator) -> None:
    for changes, named in (
        ({"HUBSPOT_PRIVATE_APP_TOKEN": ""}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"),
        ({"HUBSPOT_PORTAL_ID": ""}, "HUBSPOT_PORTAL_ID is not set"),
        ({"HUBSPOT_PORTAL_ID": "7"}, "the token belongs to portal 4242"),
    ):
        done = await probe(simulator, "--yes", **changes)

        assert (done.code, named in done.errors, done.output) == (2, True, ""), done


async def test_without_kafka_it_asks_all_the_same_and_says_that_nothing_is_kept(simulator: Simulator) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    none, away = await probe(simulator, "--yes"), await probe(simulator, "--yes", KAFKA_BOOTSTRAP_SERVERS=nobody)

    assert (none.code, away.code) == (0, 0), none.errors + away.errors
    assert f"{len(QUESTIONS)} as expected, 0 differs, 0 not told" in none.output
    assert "the result is not kept for `doctor`: KAFKA_BOOTSTRAP_SERVERS is not set" in none.output
    assert f"not kept for `doctor`: KAFKA_BOOTSTRAP_SERVERS: no broker answers at {nobody}" in away.output
    contacts = (await simulator.accepted()).contacts
    assert contacts
    assert all(contact["archived"] for contact in contacts.values())
    assert (await simulator.statistics())["notes"] == 0


@pytest.fixture
async def environment(simulator: Simulator, kafka: Any, topic_prefix: str) -> dict[str, str]:
    """The settings of a deployment with topics of its own."""
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 1)
    return {
        **settings(simulator),
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
    }


async def doctor(environment: dict[str, str], **changes: str) -> tuple[str, str]:
    """Return level and words of what the doctor says of the last probe."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment | changes).items():
            patch.setenv(name, value)
        examined = read_environment()
    [finding] = await examine([LastProbe(examined, SystemClock()).checks()])
    return finding.level, finding.what


async def test_the_doctor_says_when_the_portal_was_last_probed_and_with_what_result(
    simulator: Simulator, environment: dict[str, str], none_of_ours: None
) -> None:
    level, what = await doctor(environment)
    assert (level, "never probed" in what) == ("skip", True)

    done = await run("hubspot_consumer", "probe", "--yes", "--json", environment=environment)
    told = json.loads(done.output)
    assert (done.code, told["exit_code"], told["not_kept"]) == (0, 0, None), done.errors
    assert told["calls"] <= MOST_CALLS
    level, what = await doctor(environment)
    assert (level, f"UTC; {len(QUESTIONS)} answers as expected" in what) == ("ok", True), what

    await simulator.change_settings(partial_upsert_by_email="blank", notes=False)
    done = await run("hubspot_consumer", "probe", "--yes", environment=environment)
    assert done.code == 1
    assert "HUBSPOT_ID_PROPERTY" in done.output
    level, what = await doctor(environment)
    assert (level, what.partition("; ")[2]) == ("warn", "differs: partial_upsert_by_email; not told: notes")

    level, what = await doctor(environment, HUBSPOT_PORTAL_ID="7")
    assert (level, f"but portal {PORTAL_ID}" in what) == ("warn", True)
    level, what = await doctor(environment, HUBSPOT_API_VERSION="v3")
    assert (level, "HUBSPOT_API_VERSION=2026-09" in what) == ("warn", True)
    told = await run("hubspot_consumer", "doctor", "--offline", environment=environment)
    assert "warn  probe             probed at" in told.output


async def test_a_pause_stays_and_no_probe_is_made_during_one(
    simulator: Simulator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, none_of_ours: None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kafka = KafkaSettings()
    options, topic, clock = kafka.client_options(), kafka.topics.controls, SystemClock()
    await publish_pause(kafka, Pause(at=datetime.now(UTC), note="an import runs"))

    refused = await run("hubspot_consumer", "probe", "--yes", environment=environment)
    assert (refused.code, "sending is paused" in refused.errors) == (1, True)
    assert await calls_of(simulator) == 0

    await publish_pause(kafka, None)
    assert (await run("hubspot_consumer", "probe", "--yes", environment=environment)).code == 0
    result = await last_result(options, topic, clock)
    assert result is not None
    assert datetime.now(UTC) - result.at < timedelta(minutes=5)
    assert await read_paused(options, topic, clock) is None
