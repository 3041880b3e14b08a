"""The doctor's round: bounded, in order, nothing hidden, nothing secret; and what needs no service to be judged."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, get_args

import httpx
import pytest

from hubspot_consumer.doctor.environment import DoctorSettings, Environment, read_environment
from hubspot_consumer.doctor.examination import (
    CHECK_WITHIN_S,
    Answer,
    CannotTell,
    Check,
    Checks,
    Finding,
    Level,
    Look,
    duration,
    examine,
    fail,
    ok,
)
from hubspot_consumer.doctor.outbox import MUCH_WAL, ReplicationSlot, slots_answer
from hubspot_consumer.doctor.output import as_json_text, as_lines, exit_code, without_secrets
from hubspot_consumer.doctor.portal import FewCalls, PortalChecks
from hubspot_consumer.doctor.receipts import _Receipts
from hubspot_consumer.doctor.worker import ASK_ELSEWHERE, REMEDIES, WorkerChecks
from hubspot_consumer.hubspot.account import Usage, read_portal, read_scopes, read_usage
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.outcomes import Halt, HaltReason, Rejected, RetryLater
from hubspot_consumer.kafka.group import _numbers
from tests.clock import FastLoop, OwnedClock

SECRET = "pat-na1-11111111-2222-4333-8444-555555555555"


def asking(answer: Answer | Exception) -> Callable[[], Awaitable[Answer]]:
    async def ask() -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


async def hang() -> Any:
    await asyncio.Event().wait()


def test_a_check_that_hangs_or_breaks_hides_no_other_and_order_is_kept() -> None:
    checks = [
        Check("hangs", hang, "look there"),
        Check("breaks", asking(ZeroDivisionError("never mind"))),
        Check("well", asking(ok("fine"))),
        Check("late", asking(TimeoutError())),
        Check("unknown", asking(CannotTell("nobody can know"))),
    ]
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        findings = runner.run(examine([Checks(checks[:2]), Checks(checks[2:])]))
        took_s = runner.get_loop().time()

    assert findings == [
        Finding("hangs", "fail", "no answer within 6 s", "look there"),
        Finding("breaks", "fail", "the check itself failed (ZeroDivisionError: never mind)"),
        Finding("well", "ok", "fine"),
        Finding("late", "fail", "no answer in time"),
        Finding("unknown", "skip", "nobody can know"),
    ]
    assert took_s == pytest.approx(CHECK_WITHIN_S, abs=0.5)


async def test_connections_are_closed_though_one_does_not_close() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("the second")

    async def break_off() -> None:
        raise OSError("gone")

    await examine([Checks([], break_off), Checks([], close)])

    assert closed == ["the second"]


async def test_progress_counts_the_checks_that_are_done() -> None:
    shown: list[tuple[int, int]] = []

    await examine(
        [Checks([Check("a", asking(ok(""))), Check("b", asking(ok("")))])],
        lambda done, total: shown.append((done, total)),
    )

    assert shown == [(1, 2), (2, 2)]


async def test_a_look_is_taken_once_for_all_who_ask() -> None:
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        return looks

    shared = Look(look)

    first, second = await asyncio.gather(shared.seen(), shared.seen())
    assert (first, second, looks) == (1, 1, 1)


async def test_calls_to_hubspot_are_spaced_however_much_others_use() -> None:
    clock = OwnedClock()
    few = FewCalls(clock)
    left_at = []
    for _ in range(6):
        with await few.slot():
            left_at.append(round(clock.monotonic(), 3))
        few.observe({"X-HubSpot-RateLimit-Max": "100", "X-HubSpot-RateLimit-Remaining": "0"})
        few.observe({"X-HubSpot-RateLimit-Daily": "100", "X-HubSpot-RateLimit-Daily-Remaining": "3"})

    assert left_at == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


@pytest.mark.parametrize(
    ("levels", "code"),
    [([], 0), (["ok", "skip"], 0), (["ok", "warn", "skip"], 1), (["fail", "warn", "ok"], 2)],
)
def test_the_exit_code_is_that_of_the_worst_finding(levels: list[Level], code: int) -> None:
    assert exit_code([Finding("any", level, "") for level in levels]) == code


def test_what_is_shown_holds_no_secret_and_no_whole_email() -> None:
    findings = without_secrets([Finding("token", *fail(f"{SECRET} of ada@example.com", f"use {SECRET}"))], [SECRET])

    for shown in (as_lines(findings), as_json_text(findings)):
        assert SECRET not in shown
        assert "ada@example.com" not in shown
        assert "a***@example.com" in shown


def test_lines_and_json_say_the_same() -> None:
    findings = [Finding("kafka", *ok("fine")), Finding("relay", *fail("broken", "mend it"))]

    told = json.loads(as_json_text(findings))

    assert told["exit_code"] == 2
    assert told["findings"][1] == {"name": "relay", "level": "fail", "what": "broken", "do": "mend it"}
    assert [line.split() for line in as_lines(findings).splitlines()] == [
        ["ok", "kafka", "fine"],
        ["fail", "relay", "broken"],
        ["->", "mend", "it"],
        ["1", "ok,", "1", "fail"],
    ]


@pytest.mark.parametrize(
    ("slots", "level", "words"),
    [
        ([], "ok", "the relay needs none"),
        (
            [ReplicationSlot("debezium", active=True, retained=5 << 20, status="reserved")],
            "ok",
            "debezium is read, keeps 5 MiB",
        ),
        ([ReplicationSlot("debezium", active=True, retained=MUCH_WAL, status="extended")], "warn", "1,024 MiB"),
        ([ReplicationSlot("debezium", active=False, retained=0, status="reserved")], "fail", "debezium is not read"),
        (
            [ReplicationSlot("debezium", active=False, retained=0, status="lost")],
            "fail",
            "has deleted log that it had to read",
        ),
    ],
)
def test_a_replication_slot_that_nobody_reads_is_a_failure(
    slots: list[ReplicationSlot], level: Level, words: str
) -> None:
    answer = slots_answer(slots)

    assert answer.level == level
    assert words in answer.what


LIVE = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "HUBSPOT_ENABLED": "true",
    "HUBSPOT_SEND_LIVE": "true",
    "HUBSPOT_PRIVATE_APP_TOKEN": SECRET,
    "HUBSPOT_PORTAL_ID": "1",
}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"HUBSPOT_PRIVATE_APP_TOKEN": ""}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"),
        ({"HUBSPOT_PRIVATE_APP_TOKEN": f"{SECRET}\n"}, "HUBSPOT_PRIVATE_APP_TOKEN: holds white space"),
        ({"HUBSPOT_PORTAL_ID": "one"}, "HUBSPOT_PORTAL_ID: "),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SSL_CERTFILE": "/nowhere", "KAFKA_PARTITIONS": "0"}, "KAFKA_PARTITIONS: "),
        ({"KAFKA_SSL_CERTFILE": "/nowhere"}, "KAFKA_SSL_CERTFILE: /nowhere can't be read"),
    ],
)
async def test_wrong_settings_are_a_finding_and_the_rest_is_still_read(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], fault: str
) -> None:
    for name, value in {**LIVE, **changes}.items():
        monkeypatch.setenv(name, value)

    environment = read_environment()

    answer = await environment.valid()
    assert answer.level == "fail"
    assert fault in answer.what
    assert SECRET not in answer.what
    # Kafka's settings that contradict each other are no reason to look at nothing else.
    assert environment.settings.mode == "live"
    if not {"KAFKA_SECURITY_PROTOCOL", "KAFKA_SSL_CERTFILE"} & changes.keys():
        assert environment.settings.bootstrap_servers == ["kafka:9092"]


@pytest.mark.parametrize(("seconds", "words"), [(-1, "0 s"), (119, "119 s"), (121, "2 min"), (200_000, "2 days")])
def test_durations_are_short_and_not_longer_than_they_are(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def answered(status: int, body: object) -> httpx.Response:
    return httpx.Response(status, json=body, request=httpx.Request("GET", "http://hubspot/"))


@pytest.mark.parametrize("body", [{}, [], {"results": [{}]}, {"results": [{"usageLimit": 0, "currentUsage": 0}]}])
def test_an_answer_that_tells_no_use_of_the_day_is_none(body: object) -> None:
    assert isinstance(read_usage(answered(200, body)), Rejected | RetryLater)


def test_the_days_use_and_the_scopes_are_read() -> None:
    use = {"usageLimit": 10, "currentUsage": 3, "resetsAt": "when it does"}

    assert read_usage(answered(200, {"results": [use]})) == Usage(10, 3, None)
    assert read_scopes(answered(200, {"scopes": ["a", "b"]})) == frozenset({"a", "b"})
    assert isinstance(read_scopes(answered(200, {"scopes": "a"})), Rejected)
    assert isinstance(read_scopes(answered(401, {})), Halt)


def test_for_every_reason_to_halt_it_says_what_to_do() -> None:
    assert set(REMEDIES) == set(get_args(HaltReason))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>", "its status is no JSON, but text/html"),
        ("[" * 100_000, "its status is no JSON, but text/html"),
        ("", "its status is no JSON, but text/html"),
        ("[1, 2]", "its status is no object, but [1, 2]"),
        ('"ada@example.com"', 'its status is no object, but "a***@example.com"'),
        ("null", "its status is no object, but null"),
        ("{}", "mode: Field required"),
        ('{"mode": "live", "unwell": ["kafka"]}', "unwell: Input should be a valid dictionary"),
        ('{"mode": "live", "halted": "paused"}', "halted: Input should be a valid dictionary"),
        ('{"mode": "live", "contacts": []}', "contacts: Input should be a valid dictionary"),
        ('{"mode": "live", "contacts": {"holes_released": "many"}}', "contacts.holes_released: Input should be"),
    ],
)
async def test_what_answers_in_a_workers_place_is_a_finding_that_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    findings = await examined_worker(monkeypatch, body)

    worker = findings["worker"]
    assert worker.level == "fail"
    assert worker.what.startswith("http://127.0.0.1:8081 answers, but is no worker, or one of another version: ")
    assert says in worker.what
    assert worker.do == ASK_ELSEWHERE
    for name in ("sending", "holes", "timeline"):
        assert (findings[name].level, findings[name].what) == ("skip", "the worker does not answer: see worker")


async def test_a_worker_of_another_version_may_leave_out_all_but_its_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = await examined_worker(monkeypatch, '{"mode": "disabled", "contacts": null, "more": [1]}')

    assert [finding.level for finding in findings.values()] == ["ok", "ok", "ok", "skip"]


async def examined_worker(monkeypatch: pytest.MonkeyPatch, body: str) -> dict[str, Finding]:
    """Return the findings about a worker whose status has this body."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=body, headers={"content-type": "text/html"}))
    asking_it = partial(httpx.AsyncClient, transport=transport)
    monkeypatch.setattr("hubspot_consumer.doctor.worker.httpx.AsyncClient", asking_it)
    checks = WorkerChecks(Environment(DoctorSettings()), "").checks()
    return {finding.name: finding for finding in await examine([checks])}


@pytest.mark.parametrize(
    "use", [{"usageLimit": 10**400, "currentUsage": 1}, {"usageLimit": 1, "currentUsage": -(10**400)}]
)
def test_a_quota_beyond_all_sense_is_none(use: object) -> None:
    assert isinstance(read_usage(answered(200, {"results": [use]})), Rejected)


@pytest.mark.parametrize("resets_at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-25T00:00:00Z"])
async def test_a_day_that_ends_at_the_edge_of_years_ends_at_midnight(
    monkeypatch: pytest.MonkeyPatch, resets_at: str
) -> None:
    use = {"usageLimit": 100, "currentUsage": 3, "resetsAt": resets_at}

    async def portal(_: HubSpotClient) -> Any:
        return read_portal(answered(200, {"portalId": 1, "timeZone": "Asia/Tokyo"}))

    async def usage(_: HubSpotClient) -> Any:
        return read_usage(answered(200, {"results": [use]}))

    monkeypatch.setattr(HubSpotClient, "portal", portal)
    monkeypatch.setattr(HubSpotClient, "usage", usage)
    monkeypatch.setenv("HUBSPOT_PRIVATE_APP_TOKEN", SECRET)
    checks = PortalChecks(Environment(DoctorSettings()), OwnedClock(), offline=False)

    found = await checks.daily_quota()

    await checks._http.aclose()
    wanted = "09:00" if resets_at.startswith("2026") else "00:00"
    assert f"97 of 100 calls left; the day ends at {wanted} (Asia/Tokyo)" in found.what


@pytest.mark.parametrize(
    ("status", "level", "says", "do"),
    [
        (530, "fail", "530", "put a valid token into HUBSPOT_PRIVATE_APP_TOKEN"),
        (301, "fail", "301: redirected to https://api.hubapi.com/", "set HUBSPOT_API_BASE_URL"),
        (307, "fail", "307: redirected to https://api.hubapi.com/", "set HUBSPOT_API_BASE_URL"),
        (403, "fail", "403", "check https://status.hubspot.com and HUBSPOT_API_BASE_URL"),
        (200, "fail", "something else answers in HubSpot's place", "check https://status.hubspot.com and HUBSPOT_API_"),
    ],
)
async def test_what_stands_before_hubspot_is_told_apart_from_an_accepted_token(
    monkeypatch: pytest.MonkeyPatch, status: int, level: str, says: str, do: str
) -> None:
    page = b"<html><title>Attention Required!</title></html>"
    headers = {"Location": "https://api.hubapi.com/"} if status in {301, 307} else {}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(page)))
    monkeypatch.setattr("hubspot_consumer.doctor.portal.http_client", partial(http_client, transport=transport))
    monkeypatch.setenv("HUBSPOT_PRIVATE_APP_TOKEN", SECRET)
    checks = PortalChecks(Environment(DoctorSettings()), OwnedClock(), offline=False)

    found = await checks.token()

    await checks._http.aclose()
    assert (found.level, says in found.what, do in found.do) == (level, True, True), found


def test_records_in_the_place_of_receipts_are_counted_and_hide_no_receipt() -> None:
    receipts = _Receipts()
    place = {"topic": "t", "partition": 0, "offset": 1}
    odd = [
        b"no JSON",
        b"[" * 100_000,
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"topic": 1, "partition": 0, "offset": 1}',
        None,
        b"",
    ]

    for value in (*odd, json.dumps({**place, "event_id": ["x"], "outcome": "a newer one"}).encode()):
        receipts.add(value)

    assert (receipts.unreadable, receipts.places, receipts.event_ids) == (len(odd), {("t", 0, 1)}, set())


@pytest.mark.parametrize("assignment", [b"", b"\x00", b'{"connector": 1}', bytes(6) + b"\x7f" * 9])
def test_a_member_of_another_protocol_has_no_partitions_of_ours(assignment: bytes) -> None:
    assert _numbers(assignment) == frozenset()


@pytest.mark.parametrize(
    ("version", "at", "level", "do"),
    [
        ("v3", "2027-06-01", "ok", ""),
        ("2026-03", "2027-06-02", "warn", "set HUBSPOT_API_VERSION=2026-09"),
        ("2026-09", "2027-11-30", "ok", ""),
        ("2026-09", "2027-12-01", "warn", "deploy a version of the consumer that knows a newer one"),
    ],
)
async def test_the_end_of_an_api_version_is_told_a_quarter_before(
    monkeypatch: pytest.MonkeyPatch, version: str, at: str, level: Level, do: str
) -> None:
    monkeypatch.setenv("HUBSPOT_API_VERSION", version)
    clock = OwnedClock()
    clock.advance((datetime.fromisoformat(f"{at}T12:00Z") - clock.now()).total_seconds())
    checks = PortalChecks(Environment(DoctorSettings()), clock, offline=True)

    answer = await checks.api_version()
    await checks._http.aclose()

    assert (answer.level, answer.do) == (level, do)
