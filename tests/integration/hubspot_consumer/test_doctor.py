"""`python -m hubspot_consumer doctor`: finds every planted fault by name, and nothing else, on a running system."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from hubspot_consumer.doctor import portal
from hubspot_consumer.doctor.examination import Finding, Level
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, SEQUENCE
from runtime.program import program_version
from sandbox.kafka import EmbeddedKafka
from sandbox.processes import free_port
from sandbox.simulator import TOKEN, Simulator
from sandbox.stack import create_topics
from schemas.events import EVENT_TYPES
from schemas.topics import Topics
from tests import patient as plant
from tests.commands import run
from tests.patient import Patient, Settings, admit, discharge

CONTACTS_WRITE = "crm.objects.contacts.write"
EVENT_SCOPES = ("analytics.behavioral_events.send", "behavioral_events.event_definitions.read_write")
STAGE = "nerava_lifecycle_stage"
BALANCE = "nerava_nova_balance_cents"
EARNED = "event-definitions/nerava_nova_earned"
NOBODY = "127.0.0.1:1"
Plant = Callable[[Patient], AbstractAsyncContextManager[Settings]]


@pytest.fixture(scope="module")
def careful_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), auto_create=False)
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture(scope="module")
def patient(
    careful_kafka: EmbeddedKafka,
    postgres: Any,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Patient]:
    admitted = asyncio.run(admit(tmp_path_factory.mktemp("patient"), careful_kafka, postgres, migrated_template))
    with pytest.MonkeyPatch.context() as patch:
        # Rounds follow each other here, at a portal with room for them: their calls need no space between them.
        patch.setattr(portal, "SPACING_S", 0.0)
        yield admitted
    asyncio.run(discharge(admitted))


def unwell(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings if finding.level in ("warn", "fail")}


@dataclass(frozen=True)
class Fault:
    """What is planted, the findings that it leads to, and words of the first one."""

    plant: Plant
    found: dict[str, Level]
    words: str


def set_to(**changes: str) -> Plant:
    return lambda _: plant.settings(changes)


def without(*scopes: str) -> Plant:
    return partial(plant.hubspot_token, without=scopes)


def changed(name: str, /, **changes: Any) -> Plant:
    return lambda patient: plant.property_changed(patient, name, **changes)


def removed(path: str) -> Plant:
    return lambda patient: plant.removed(patient, path)


AT_HUBSPOT = {
    "a revoked token": Fault(partial(plant.hubspot_token, revoked=True), {"token": "fail"}, "401"),
    "a token of another portal": Fault(set_to(HUBSPOT_PORTAL_ID="4243"), {"portal": "fail"}, "belongs to portal 4242"),
    "a scope is missing": Fault(without(CONTACTS_WRITE), {"scopes": "fail"}, CONTACTS_WRITE),
    "the scopes of custom events are missing": Fault(
        without(*EVENT_SCOPES), {"scopes": "warn", "event_definitions": "warn"}, "the timeline gets notes or nothing"
    ),
    "a property is missing": Fault(
        removed(f"properties/{BALANCE}"), {"properties": "fail"}, f"missing: property {BALANCE}"
    ),
    "a property is of the wrong type": Fault(
        changed(BALANCE, type="string", fieldType="text"), {"properties": "fail"}, f"{BALANCE} is of type string"
    ),
    "a property has another field": Fault(
        changed(STAGE, fieldType="radio"), {"properties": "warn"}, f"{STAGE} has the fieldType radio"
    ),
    "a property lacks an option": Fault(
        changed(STAGE, options=[{"value": "new_driver"}]), {"properties": "fail"}, "lacks the options active_driver"
    ),
    "a property is read-only": Fault(
        changed(STAGE, modificationMetadata={"readOnlyValue": True}), {"properties": "fail"}, f"{STAGE} is read-only"
    ),
    "the optional property is missing": Fault(
        removed(f"properties/{LAST_EVENT_ID}"), {"properties": "warn"}, f"missing: property {LAST_EVENT_ID}"
    ),
    "the optional property is archived": Fault(
        changed(LAST_EVENT_ID, archived=True), {"properties": "warn"}, f"{LAST_EVENT_ID} is archived"
    ),
    "a property of ours is not hidden": Fault(
        changed(SEQUENCE, hidden=False), {"properties": "warn"}, f"{SEQUENCE} is not hidden"
    ),
    "a property is archived": Fault(changed(STAGE, archived=True), {"properties": "fail"}, f"{STAGE} is archived"),
    "an event definition is missing": Fault(removed(EARNED), {"event_definitions": "fail"}, "event nerava_nova_earned"),
    "an event definition lacks a property": Fault(
        removed(f"{EARNED}/properties/amount_cents"), {"event_definitions": "fail"}, "property amount_cents of event"
    ),
    "an event definition lacks an amount as people read it": Fault(
        removed(f"{EARNED}/properties/amount"), {"event_definitions": "warn"}, "property amount of event"
    ),
    "a tier without custom events": Fault(
        partial(plant.simulator_settings, custom_events=False), {"event_definitions": "warn"}, "no custom events"
    ),
    "the day's calls are nearly spent": Fault(
        partial(plant.hubspot_answers, answer=plant.usage_of(237_500, 250_000), path="api-usage"),
        {"daily_quota": "warn"},
        "12,500 of 250,000",
    ),
    "the day's calls are spent but for the reserve": Fault(
        partial(plant.hubspot_answers, answer=plant.usage_of(246_000, 250_000), path="api-usage"),
        {"daily_quota": "fail"},
        "workers send nothing",
    ),
    "the day's calls are spent": Fault(
        partial(plant.simulator_settings, daily_limit=1), {"token": "warn", "daily_quota": "fail"}, "DAILY"
    ),
    "the account may have hardly more contacts": Fault(
        partial(plant.hubspot_answers, answer=plant.contacts_of(950, 1_000), path="/limits/"),
        {"contact_limit": "warn"},
        "950 of 1,000 contacts",
    ),
    "HubSpot is down": Fault(
        partial(plant.hubspot_answers, answer={"kind": "status", "status": 503, "style": "html"}),
        {"token": "fail"},
        "503",
    ),
}


@pytest.mark.parametrize("fault", AT_HUBSPOT.values(), ids=AT_HUBSPOT)
async def test_a_fault_at_hubspot_is_found_by_name(patient: Patient, fault: Fault) -> None:
    async with fault.plant(patient) as changes:
        findings = await patient.examined(changes)

    assert unwell(findings) == fault.found, [one for one in findings if one.level == "fail"]
    first = next(finding for finding in findings if finding.name in fault.found)
    assert fault.words in first.what
    assert first.do


def database(*statements: str, relay: bool = True, migrated: bool = True, role: str = "") -> Plant:
    return lambda patient: plant.outbox(patient, *statements, relay=relay, migrated=migrated, role=role)


def topics(partitions: dict[int, int] | None = None, *, without: int | None = None, bare: bool = False) -> Plant:
    return lambda patient: plant.topics(patient, partitions=partitions or {}, without=without, bare=bare)


ELSEWHERE = {
    "live without a token": Fault(
        set_to(HUBSPOT_PRIVATE_APP_TOKEN=""), {"settings": "fail"}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"
    ),
    "a setting that is no number": Fault(
        set_to(HUBSPOT_RATE_LIMIT="many"), {"settings": "fail"}, "HUBSPOT_RATE_LIMIT: "
    ),
    "no broker answers": Fault(
        set_to(KAFKA_BOOTSTRAP_SERVERS=NOBODY), {"kafka": "fail"}, f"no broker answers at {NOBODY}"
    ),
    "a topic is missing": Fault(topics(without=2), {"topics": "fail"}, f"{EVENT_TYPES[2]}"),
    "the topic of the dead letters is missing": Fault(topics(without=7), {"topics": "fail"}, "dead_letters"),
    "partition counts differ": Fault(topics({1: 5}), {"partitions": "fail"}, f"{EVENT_TYPES[1]} has 5"),
    "topics that a broker made": Fault(
        topics(dict.fromkeys(range(7), 1), bare=True),
        {"partitions": "warn", "topic_settings": "warn"},
        "1 in each event",
    ),
    "topics that somebody made": Fault(
        topics(bare=True),
        {"topic_settings": "warn"},
        f"{EVENT_TYPES[0]}: retention.ms is 604800000; should be at least 2592000000 (30 days, for a replay), or -1",
    ),
    "events are not read and no worker is there": Fault(
        set_to(CONSUMER_GROUP="nobody"),
        {"group": "fail", "lag": "fail", "offsets": "warn"},
        "no worker is in nobody",
    ),
    "a dead letter": Fault(
        partial(plant.dead_letter, detail="400: ada@example.com is invalid"),
        {"dead_letters": "warn"},
        "rejected_by_hubspot: 400: a***@example.com is invalid",
    ),
    "no database answers": Fault(
        set_to(DATABASE_URL=f"postgresql://me:hush@{NOBODY}/db"), {"database": "fail"}, "DATABASE_URL: "
    ),
    "the database has no outbox": Fault(database(migrated=False), {"database": "fail"}, "no outbox"),
    "the outbox's first event is old": Fault(database(plant.AN_HOUR_OLD), {"outbox": "fail"}, "1 event waiting"),
    "rows are hidden": Fault(
        database(*plant.HIDDEN_FROM_ITS_READER, role="reader"),
        {"outbox": "warn"},
        "from this role, which sees 0 events",
    ),
    "no relay is active": Fault(database(relay=False), {"relay": "fail"}, "no relay is active"),
    "parked events pile up": Fault(database(plant.MANY_PARKED), {"parked": "warn"}, "2,000 events"),
}


@pytest.mark.parametrize("fault", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_fault_elsewhere_is_found_by_name(patient: Patient, fault: Fault) -> None:
    async with fault.plant(patient) as changes:
        findings = await patient.examined(changes, offline=True)

    assert unwell(findings) == fault.found, [one for one in findings if one.level == "fail"]
    first = next(finding for finding in findings if finding.name in fault.found)
    assert fault.words in first.what
    assert first.do
    assert "hush" not in str(findings)


@pytest.mark.parametrize("at", ["infinity", "-infinity"])
async def test_rows_of_a_time_that_is_none_are_counted_without_an_age(patient: Patient, at: str) -> None:
    set_to_none = [f"UPDATE {table} SET created_at = '{at}'" for table in ("outbox_events", "outbox_parked")]
    async with plant.outbox(patient, plant.AN_HOUR_OLD, plant.MANY_PARKED, *set_to_none) as changes:
        findings = await patient.examined(changes, offline=True)

    what = {finding.name: finding.what for finding in findings}
    assert what["outbox"] == "1 event waiting, the first for 0 s"
    assert what["parked"] == "2,000 events of users without a known email, the first for 0 s"


async def test_a_broker_that_creates_what_it_is_asked_about_is_found(
    patient: Patient, kafka: Any, topic_prefix: str
) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 12)
    elsewhere = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_TOPIC_PREFIX": topic_prefix}

    findings = await patient.examined(elsewhere, offline=True)

    assert [one.what for one in findings if one.level == "warn"] == ["auto.create.topics.enable is true"]


@pytest.mark.parametrize(
    ("receipts", "level", "words"),
    [
        ([(0, "0"), (1, "1"), (2, "2")], "ok", "each of 3 acked events has a receipt"),
        # The third record is the same event as the second, from a relay that was killed.
        ([(0, "0"), (1, "2"), (7, "1")], "ok", "each of 3 acked events has a receipt"),
        ([(0, "0"), (2, "2")], "warn", "1 acked event left no receipt: {}nova_earned-1-1"),
        ([(2, "2")], "warn", "2 acked events left no receipt: {0}nova_earned-1-0, {0}nova_earned-1-1"),
        ([], "skip", "{}deliveries is empty: no event has ended yet"),
        # Beside the receipts stand records that nobody can read.
        (
            [b"no JSON", (0, "0"), b"[]", (1, "1"), (2, "2")],
            "ok",
            "each of 3 acked events has a receipt; 2 records of {0}deliveries can't be read",
        ),
        (
            [b"{}", (0, "0"), (2, "2")],
            "warn",
            "1 acked event left no receipt: {0}nova_earned-1-1; 1 record of {0}deliveries can't be read",
        ),
    ],
)
async def test_an_event_that_was_acked_and_left_no_receipt_is_found(
    patient: Patient, receipts: list[tuple[int, str] | bytes], level: Level, words: str
) -> None:
    async with plant.acked(patient, receipts, records=3) as changes:
        findings = await patient.examined(changes, offline=True)

    found = next(finding for finding in findings if finding.name == "receipts")
    assert (found.level, found.what) == (level, words.format(changes["KAFKA_TOPIC_PREFIX"]))


async def test_of_many_receipts_the_newest_are_compared(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubspot_consumer.doctor.receipts.MOST_RECEIPTS", 2)
    monkeypatch.setattr("hubspot_consumer.doctor.receipts.CLOCKS_AGREE", timedelta(seconds=-5))
    async with plant.acked(patient, [(0, "0"), (2, "2"), (3, "3")], records=4) as changes:
        findings = await patient.examined(changes, offline=True)

    found = next(finding for finding in findings if finding.name == "receipts")
    assert found.level == "warn"
    assert re.fullmatch(r"2 acked events published since .* UTC left no receipt: \S+-1-0, \S+-1-1", found.what)


HALTED = {"reason": "token_refused", "detail": "401", "since": "2026-11-24T03:00:00+00:00", "next_probe": "soon"}


@pytest.mark.parametrize(
    ("changes", "found", "words"),
    [
        ({"halted": HALTED}, {"sending": "fail"}, "token_refused: 401; next attempt soon"),
        ({"contacts": {"holes_released": 3}}, {"holes": "warn"}, "3 continued"),
        ({"timeline": "off"}, {"timeline": "warn"}, "the worker uses off"),
        ({"mode": "dry_run"}, {"worker": "warn"}, "the settings here say live"),
        ({"unwell": {"kafka": "no broker answers"}}, {"worker": "fail"}, "kafka: no broker answers"),
    ],
)
async def test_what_a_worker_tells_is_judged(
    patient: Patient, changes: dict[str, Any], found: dict[str, Level], words: str
) -> None:
    async with plant.worker_says(patient, **changes) as url:
        findings = await patient.examined(offline=True, worker_url=url)

    assert unwell(findings) == found
    assert words in next(finding.what for finding in findings if finding.name in found)


async def test_a_worker_that_does_not_answer_is_found(patient: Patient) -> None:
    findings = await patient.examined(offline=True, worker_url=f"http://127.0.0.1:{free_port()}")

    assert unwell(findings) == {"worker": "fail"}
    assert {finding.name for finding in findings if finding.level == "skip"} >= {"sending", "holes", "timeline"}


async def test_whoever_never_answers_holds_up_nobody_for_long(patient: Patient) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(128)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        changes = {"KAFKA_BOOTSTRAP_SERVERS": address, "HUBSPOT_API_BASE_URL": f"http://{address}"}
        changes["DATABASE_URL"] = f"postgresql://me@{address}/db"
        begun = time.monotonic()
        findings = await patient.examined(changes, worker_url=f"http://{address}")
        took_s = time.monotonic() - begun

    assert unwell(findings) == {"token": "fail", "kafka": "fail", "database": "fail", "worker": "fail"}
    assert took_s < 10


async def test_a_healthy_system_is_found_well_by_the_command(patient: Patient) -> None:
    shown, told = await asyncio.gather(
        run("hubspot_consumer", "doctor", environment=patient.environment),
        run("hubspot_consumer", "doctor", "--json", environment=patient.environment),
    )

    assert (shown.code, told.code, shown.errors, told.errors) == (0, 0, "", "")
    findings = json.loads(told.output)["findings"]
    # Nobody has probed this portal.
    assert {finding["name"]: finding["level"] for finding in findings if finding["level"] != "ok"} == {"probe": "skip"}
    [versions] = [finding["what"] for finding in findings if finding["name"] == "worker_versions"]
    assert versions == f"1 worker of {program_version()}"
    lines = [line.split()[:2] for line in shown.output.splitlines()[:-1]]
    assert lines == [[finding["level"], finding["name"]] for finding in findings]
    assert TOKEN not in shown.output + told.output


async def test_a_failure_ends_the_command_with_2_and_a_warning_with_1(patient: Patient) -> None:
    async with plant.worker_says(patient, timeline="off") as warning:
        failed, warned = await asyncio.gather(
            *(
                run("hubspot_consumer", "doctor", "--offline", "--worker-url", url, environment=patient.environment)
                for url in (f"http://127.0.0.1:{free_port()}", warning)
            )
        )

    assert (failed.code, warned.code) == (2, 1)


@pytest.mark.parametrize("dry", [False, True])
async def test_offline_and_a_dry_run_without_a_token_call_hubspot_not_at_all(patient: Patient, *, dry: bool) -> None:
    changes = {"HUBSPOT_PRIVATE_APP_TOKEN": "", "HUBSPOT_SEND_LIVE": "false"} if dry else {}
    async with Simulator(patient.simulator_url) as simulator:
        before = (await simulator.statistics())["calls"]
        findings = await patient.examined(changes, offline=not dry)
        assert (await simulator.statistics())["calls"] == before

    skipped = {finding.name for finding in findings if finding.level == "skip"}
    assert skipped >= {"token", "portal", "scopes", "properties", "event_definitions", "daily_quota"}


async def test_a_round_makes_seven_calls_to_hubspot(patient: Patient) -> None:
    async with Simulator(patient.simulator_url) as simulator:
        before = await simulator.statistics()
        await patient.examined()
        after = await simulator.statistics()

    made = sum(sum(by.values()) for by in after["calls"].values()) - sum(
        sum(by.values()) for by in before["calls"].values()
    )
    assert (made, after["used_today"] - before["used_today"]) == (7, 6)


async def test_where_hubspot_does_not_tell_the_days_use_its_headers_do(patient: Patient) -> None:
    async with plant.hubspot_answers(patient, {"kind": "status", "status": 404}, "api-usage"):
        findings = await patient.examined()

    quota = next(finding for finding in findings if finding.name == "daily_quota")
    assert quota.level == "ok"
    assert "of 250,000 calls left; the day ends at 00:00 (US/Eastern)" in quota.what


async def test_a_token_that_tells_no_scopes_is_judged_by_the_calls_that_it_was_refused(patient: Patient) -> None:
    async with plant.hubspot_answers(patient, {"kind": "status", "status": 404}, "access-token-info"):
        well = await patient.examined()
        async with plant.hubspot_token(patient, without=EVENT_SCOPES) as changes:
            refused = await patient.examined(changes)

    assert next(finding.level for finding in well if finding.name == "scopes") == "skip"
    assert unwell(refused) == {"scopes": "warn", "event_definitions": "warn"}
