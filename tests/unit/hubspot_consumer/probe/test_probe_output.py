"""What a probe prints, how it ends, and the record that the doctor and later versions read."""

import json
from datetime import UTC, datetime

import pytest

from hubspot_consumer.cli.portal.probe import _as_json, _as_table, exit_code
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.pause import PROBE, PauseControl
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, RetryLater
from hubspot_consumer.probe.question import Found, as_expected, differs, not_told
from hubspot_consumer.probe.result import ProbeResult, read_result, result_of
from hubspot_consumer.probe.run import QUESTIONS, Report
from hubspot_consumer.settings import Settings
from tests.clock import OwnedClock
from tests.kafka.kafka_records import TOPICS, KafkaRecord
from tests.samples import PORTAL_ID

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
FORBIDDEN = Halt("scope_missing", "403 MISSING_SCOPES")


def report(*found: Found, left: Refusal | None = None, leftovers: int = 0) -> Report:
    all_found = [*found, *[as_expected("well")] * (len(QUESTIONS) - len(found))]
    return Report(AT, list(zip(QUESTIONS, all_found, strict=True)), leftovers, left)


@pytest.mark.parametrize(
    ("found", "left", "code"),
    [
        (as_expected("well"), None, 0),
        (differs("another"), None, 1),
        (not_told(FORBIDDEN), None, 0),
        (not_told("not asked: HUBSPOT_TIMELINE is off"), None, 0),
        (not_told(RetryLater("no answer: ReadTimeout")), None, 1),
        (as_expected("well"), RetryLater("503"), 1),
    ],
)
def test_a_difference_an_outage_or_something_left_ends_with_1(found: Found, left: Refusal | None, code: int) -> None:
    assert exit_code(report(found, left=left)) == code


def test_the_table_has_a_row_for_each_question_and_says_what_a_difference_means() -> None:
    found = report(
        differs("404 [red]resource[/red] not found"), not_told(FORBIDDEN), left=RetryLater("503"), leftovers=2
    )

    table = _as_table(found, 42, "KAFKA_BOOTSTRAP_SERVERS is not set")

    flat = " ".join(table.split())
    assert all(question.name in table for question in QUESTIONS)
    assert "[red]resource[/red]" in flat, "HubSpot's words are no markup"
    assert "(HUBSPOT_API_VERSION)" in flat
    assert QUESTIONS[1].means not in flat
    assert table.splitlines()[-4:] == [
        f"{len(QUESTIONS) - 2} as expected, 1 differs, 1 not told; 42 calls",
        "2 test contacts that an earlier probe left are deleted",
        "HubSpot may still have test contacts: run the probe again (503)",
        "the result is not kept for `doctor`: KAFKA_BOOTSTRAP_SERVERS is not set",
    ]
    assert "\x1b" not in table


def test_the_json_has_all_of_it(none_of_ours: None) -> None:
    found = report(differs("404"), not_told(FORBIDDEN))
    settings = Settings(hubspot_portal_id=PORTAL_ID)

    told = json.loads(_as_json(found, settings, 42, None))

    first, second, *others = told.pop("questions")
    assert told == {
        "exit_code": 1,
        "at": "2026-11-29T12:00:00+00:00",
        "portal_id": PORTAL_ID,
        "api_version": "2026-09",
        "timeline": "auto",
        "calls": 42,
        "leftovers_deleted": 0,
        "left": None,
        "not_kept": None,
    }
    assert (first["told"], first["what"], first["setting"]) == ("differs", "404", "HUBSPOT_API_VERSION")
    assert (second["told"], second["try_again"], second["means"], second["setting"]) == ("not_told", False, "", "")
    assert len(others) == len(QUESTIONS) - 2


def test_a_result_is_kept_and_read_again() -> None:
    result = result_of(report(differs("404"), not_told(FORBIDDEN)), PORTAL_ID, "2026-09")

    assert read_result(result.model_dump_json().encode()) == result
    assert (result.differs, result.not_told) == ((QUESTIONS[0].name,), (QUESTIONS[1].name,))
    assert result.as_expected == tuple(question.name for question in QUESTIONS[2:])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"at": "2026-11-29T12:00:00Z", "portal_id": 7, "api_version": "2027-03", "more": 1}', True),
        (b'{"at": "2026-11-29T12:00:00Z", "portal_id": 7, "api_version": "x", "differs": ["a_new_one"]}', True),
        (None, False),
        (b"", False),
        (b"{}", False),
        (b'{"at": "yesterday", "portal_id": 7, "api_version": "2026-09"}', False),
        (b'{"at": "2026-11-29T12:00:00Z", "portal_id": 7, "api_version": "x", "differs": 5}', False),
    ],
)
def test_a_result_of_another_version_is_read_as_far_as_it_is_one(value: bytes | None, *, found: bool) -> None:
    assert (read_result(value) is not None) is found


def test_names_of_a_result_are_bounded_and_printable() -> None:
    value = {"at": AT.isoformat(), "portal_id": 7, "api_version": "\x1b[31m" + "x" * 1_000, "differs": ["a\nb"]}

    result = read_result(json.dumps(value).encode())

    assert isinstance(result, ProbeResult)
    assert (len(result.api_version), result.api_version.isprintable(), result.differs) == (255, True, ("a b",))


async def test_a_worker_passes_over_the_result_of_a_probe() -> None:
    breaker = CircuitBreaker(OwnedClock())
    controls = PauseControl({"bootstrap_servers": "127.0.0.1:1"}, TOPICS.controls, OwnedClock(), breaker)
    controls._read = True

    for value in (b'{"at": "2026-11-29T12:00:00Z", "portal_id": 7, "api_version": "x"}', b"no JSON", None):
        assert controls._take_in(KafkaRecord(TOPICS.controls, 0, 1, 0, PROBE, value)) is True

    assert breaker.paused is None
    await controls.stop()
