"""The doctor's round: bounded, in order, nothing hidden, nothing secret; and what needs no service to be judged."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import httpx
import pytest

from hubspot_consumer.doctor.environment import read_environment
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
from hubspot_consumer.doctor.portal import FewCalls
from hubspot_consumer.doctor.worker import REMEDIES
from hubspot_consumer.hubspot.account import Usage, read_scopes, read_usage
from hubspot_consumer.hubspot.outcomes import Halt, HaltReason, Rejected
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
    if "KAFKA_SECURITY_PROTOCOL" not in changes:
        assert environment.settings.bootstrap_servers == ["kafka:9092"]
        assert environment.settings.mode == "live"


@pytest.mark.parametrize(("seconds", "words"), [(-1, "0 s"), (119, "119 s"), (121, "2 min"), (200_000, "2 days")])
def test_durations_are_short_and_not_longer_than_they_are(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def answered(status: int, body: object) -> httpx.Response:
    return httpx.Response(status, json=body, request=httpx.Request("GET", "http://hubspot/"))


@pytest.mark.parametrize("body", [{}, [], {"results": [{}]}, {"results": [{"usageLimit": 0, "currentUsage": 0}]}])
def test_an_answer_that_tells_no_use_of_the_day_is_none(body: object) -> None:
    assert isinstance(read_usage(answered(200, body)), Rejected)


def test_the_days_use_and_the_scopes_are_read() -> None:
    use = {"usageLimit": 10, "currentUsage": 3, "resetsAt": "when it does"}

    assert read_usage(answered(200, {"results": [use]})) == Usage(10, 3, None)
    assert read_scopes(answered(200, {"scopes": ["a", "b"]})) == frozenset({"a", "b"})
    assert isinstance(read_scopes(answered(200, {"scopes": "a"})), Rejected)
    assert isinstance(read_scopes(answered(401, {})), Halt)


def test_for_every_reason_to_halt_it_says_what_to_do() -> None:
    assert set(REMEDIES) == set(get_args(HaltReason))
