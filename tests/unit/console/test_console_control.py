"""The Control page: pausing with a reason, settings side by side, and what the doctor finds."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import console.control
from console.audit_log import AuditLog
from console.control import ServiceStatus, compared
from console.runs.run import ASKED, CODE, ERR, LOCK, OUT
from console.runs.runs import Runs
from console.serve import wire
from console.web.access import CSRF_HEADER
from hubspot_consumer.cli.gates import LONGEST_WORDS
from hubspot_consumer.gates.circuit_breaker import Paused
from hubspot_consumer.gates.pause import Pause
from hubspot_consumer.settings import Settings as ConsumerSettings
from tests.clock import OwnedClock
from tests.console.server import Visitor, settings
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN
from tests.unit.console.test_console_dead_letters import answering

ONE, TWO, PRODUCER = "http://127.0.0.1:8081", "http://127.0.0.1:8083", "http://127.0.0.1:8080"
PAUSED = Paused(datetime(2026, 11, 24, 3, tzinfo=UTC), "ada", "<b>an import</b> runs")
HALTED = {
    "reason": "paused",
    "detail": "an import runs (ada)",
    "since": "2026-11-24T03:00:00+00:00",
    "next_probe": None,
    "behind": {"reason": "token_refused", "detail": "401"},
}
LIVE = {
    "mode": "live",
    "halted": HALTED,
    "settings": {"LOG_LEVEL": "info", "HUBSPOT_SEND_LIVE": True, "HUBSPOT_PRIVATE_APP_TOKEN": "set"},
}
DRY = {"mode": "dry_run", "halted": None, "settings": {"LOG_LEVEL": "debug", "HUBSPOT_PORTAL_ID": None}}
FINDINGS = {
    "exit_code": 2,
    "findings": [
        {"name": "kafka", "level": "ok", "what": "one broker answers", "do": ""},
        {"name": "token", "level": "fail", "what": "HubSpot refuses <it>", "do": "put a new one there"},
    ],
}


class Kafka:
    """The topics of controls and of actions, as the page sees them."""

    def __init__(self) -> None:
        self.paused: Paused | None = None
        self.away: Exception | None = None
        self.said: list[Pause | None] = []
        self.noted: list[tuple[str, str, Mapping[str, Any]]] = []

    async def read_paused(self, *_: Any) -> Paused | None:
        if self.away:
            raise self.away
        return self.paused

    async def say(self, _kafka: Any, pause: Pause | None) -> None:
        if self.away:
            raise self.away
        self.said.append(pause)

    async def note(self, action: Mapping[str, Any], state: str, _outcome: Any) -> None:
        self.noted.append((action["action"], state, action["arguments"]))


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    kafka = Kafka()
    monkeypatch.setattr(console.control, "read_paused", kafka.read_paused)
    monkeypatch.setattr(console.control, "publish_pause", kafka.say)
    monkeypatch.setattr(AuditLog, "_write", kafka.note)
    return kafka


def application(folder: Path, answers: Mapping[str, Any]) -> FastAPI:
    given = settings(folder, console_consumers=f"{ONE}, {TWO}", console_producers=PRODUCER)
    return wire(given, ConsumerSettings(), answering(answers), OwnedClock()).app


async def visitor(folder: Path, token: str = OPERATOR_TOKEN, answers: Mapping[str, Any] | None = None) -> Visitor:
    visitor = Visitor(application(folder, {ONE: LIVE, TWO: DRY} if answers is None else answers))
    await visitor.sign_in(token)
    return visitor


async def post(visitor: Visitor, path: str, **form: str) -> httpx.Response:
    return await visitor.http.post(path, data=form, headers={CSRF_HEADER: await visitor.csrf()})


async def test_the_page_says_whether_sending_is_paused_and_what_each_worker_does(tmp_path: Path, kafka: Kafka) -> None:
    somebody = await visitor(tmp_path)
    page = (await somebody.http.get("/control")).text

    assert 'data-sending="on"' in page
    assert "Resume sending" not in page
    kafka.paused = PAUSED

    for path in ("/control", "/control/live"):
        page = (await somebody.http.get(path)).text
        assert 'data-sending="paused"' in page
        assert "2026-11-24 03:00:00 UTC</time> by ada: &lt;b&gt;an import&lt;/b&gt; runs" in page
        one, two = re.findall(r'<tr data-worker="(?:.|\n)*?</tr>', page)
        assert "live</span>" in one
        assert "also <code>token_refused</code>: 401" in one
        assert "dry run</span> HubSpot is not called" in two
        assert ("Resume sending" in page) == (path == "/control")


async def test_without_kafka_the_page_says_that_nobody_knows_and_offers_to_resume(tmp_path: Path, kafka: Kafka) -> None:
    kafka.away = TimeoutError()
    somebody = await visitor(tmp_path, answers={})

    page = (await somebody.http.get("/control")).text

    assert 'data-sending="unknown"' in page
    assert "Kafka does not say whether sending is paused (TimeoutError)" in page
    assert "Resume sending" in page
    assert page.count("can&#39;t be reached (HTTPStatusError)") == 5
    for path, form in (("/control/pause", {"note": "x"}), ("/control/resume", {})):
        answer = await post(somebody, path, **form)
        assert answer.status_code == 503
        assert "check whether sending is paused" in answer.text
    assert [state for _, state, _ in kafka.noted] == ["begun", "failed"] * 2


async def test_a_pause_is_noted_before_it_is_said_with_its_reason_and_who_without_whole_emails(
    tmp_path: Path, kafka: Kafka
) -> None:
    somebody = await visitor(tmp_path)

    answer = await post(somebody, "/control/pause", note=" for ada@example.com ")

    assert (answer.status_code, answer.headers["location"]) == (303, "/control")
    [pause] = kafka.said
    assert pause is not None
    assert (pause.by, pause.note) == ("operator token", "for a***@example.com")
    await post(somebody, "/control/resume")
    assert kafka.said == [pause, None]
    note = {"note": "for a***@example.com"}
    assert kafka.noted == [
        ("pause", "begun", note),
        ("pause", "done", note),
        ("resume", "begun", {}),
        ("resume", "done", {}),
    ]


@pytest.mark.parametrize("part", ["kafka", "worker", "portal"])
async def test_a_live_worker_that_is_unwell_is_not_said_to_send(tmp_path: Path, kafka: Kafka, part: str) -> None:
    unwell = {"mode": "live", "halted": None, "unwell": {part: "<no> answer"}}
    well: Mapping[str, Any] = {"mode": "live", "halted": None, "unwell": {}}
    page = (await (await visitor(tmp_path, answers={ONE: unwell, TWO: well})).http.get("/control/live")).text

    one, two = re.findall(r'<tr data-worker="(?:.|\n)*?</tr>', page)

    assert f'<span class="badge bad">no: {part}</span> &lt;no&gt; answer' in one
    assert ">yes<" not in one
    assert ">yes<" in two


@pytest.mark.parametrize("odd", [7, "x", ["y"], {}, {"behind": "x"}, {"reason": ["<b>"], "behind": {}}])
async def test_a_worker_that_tells_its_halt_in_another_form_fails_no_page(
    tmp_path: Path, kafka: Kafka, odd: object
) -> None:
    somebody = await visitor(tmp_path, answers={ONE: {"mode": "live", "halted": odd, "unwell": odd}, TWO: LIVE})

    for path in ("/control", "/control/live"):
        page = await somebody.http.get(path)
        assert (page.status_code, "also <code>token_refused</code>" in page.text) == (200, True)


def seen_on(page: str) -> str:
    """Return which pause the page's form to resume would end."""
    [seen] = re.findall('name="seen" form="resume" value="(.+?)"', page)
    return str(seen)


async def test_a_resume_ends_the_pause_that_was_shown_and_no_other(tmp_path: Path, kafka: Kafka) -> None:
    somebody = await visitor(tmp_path)
    kafka.paused = PAUSED
    seen = seen_on((await somebody.http.get("/control")).text)
    kafka.paused = Paused(PAUSED.since + timedelta(microseconds=1), "grace", "the <import> went wrong")

    for form in ({"seen": seen}, {}):
        refused = await post(somebody, "/control/resume", **form)

        assert refused.status_code == 409
        assert "by grace: the &lt;import&gt; went wrong" in refused.text
    assert not kafka.said
    assert [state for _, state, _ in kafka.noted] == ["begun", "failed"] * 2

    seen = seen_on((await somebody.http.get("/control/live")).text)
    assert (await post(somebody, "/control/resume", seen=seen)).status_code == 303
    assert kafka.said == [None]


async def test_while_nobody_knows_which_pause_holds_it_can_be_ended(
    tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def does_not_say(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(console.control, "read_paused", does_not_say)

    assert (await post(await visitor(tmp_path), "/control/resume")).status_code == 303
    assert kafka.said == [None]


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("", "give a reason"),
        ("  ", "give a reason"),
        ("x" * (LONGEST_WORDS + 1), f"note should have at most {LONGEST_WORDS} characters; it has {LONGEST_WORDS + 1}"),
        ("a\x00b", "note should be one line, without control characters"),
    ],
)
async def test_a_pause_needs_a_reason_that_fits(tmp_path: Path, kafka: Kafka, note: str, why: str) -> None:
    answer = await post(await visitor(tmp_path), "/control/pause", note=note)

    assert answer.status_code == 400
    assert why in answer.text
    assert not kafka.said
    assert not kafka.noted


async def test_whoever_may_only_look_is_offered_nothing_to_do(tmp_path: Path, kafka: Kafka) -> None:
    kafka.paused = PAUSED

    page = (await (await visitor(tmp_path, READER_TOKEN)).http.get("/control")).text

    assert 'data-sending="paused"' in page
    assert "HUBSPOT_SEND_LIVE" in page
    assert 'action="/control' not in page


async def test_settings_stand_side_by_side_and_what_differs_is_marked(tmp_path: Path, kafka: Kafka) -> None:
    page = (await (await visitor(tmp_path)).http.get("/control")).text

    rows = dict(re.findall(r'<tr data-setting="(\w+)">((?:.|\n)*?)</tr>', page))
    cells = {name: re.findall("<td>(.*?)</td>", row) for name, row in rows.items()}
    assert cells == {
        "LOG_LEVEL": ["info", "debug"],
        "HUBSPOT_SEND_LIVE": ["true", "not told"],
        "HUBSPOT_PRIVATE_APP_TOKEN": ["set", "not told"],
        "HUBSPOT_PORTAL_ID": ["not told", "—"],
    }
    assert [name for name, row in rows.items() if "differs" in row] == ["LOG_LEVEL"]
    assert f"{PRODUCER} can&#39;t be reached" in page


def test_a_service_that_does_not_tell_its_settings_differs_in_none() -> None:
    services = [
        ServiceStatus(ONE, {"settings": {"A": 1}}),
        ServiceStatus(TWO, {}),
        ServiceStatus(TWO, {"settings": "?"}),
    ]

    [setting] = compared(services)

    assert (setting.name, setting.values, setting.differs) == ("A", [1, None, None], False)


def a_run(folder: Path, code: int, output: object) -> None:
    """Leave what a doctor that has ended left."""
    run = folder / "runs" / "20261124T030000-000000-abcdef"
    run.mkdir(parents=True)
    asked = {"kind": "doctor", "arguments": ["doctor", "--json"], "who": "ada", "began": PAUSED.since.isoformat()}
    (run / ASKED).write_text(json.dumps({**asked, "form": {}}))
    (run / OUT).write_text(json.dumps(output))
    (run / CODE).write_text(str(code))
    for name in (ERR, LOCK):
        (run / name).touch()


async def test_what_the_doctor_found_is_shown_the_worst_first_with_what_to_do(tmp_path: Path, kafka: Kafka) -> None:
    a_run(tmp_path, 2, FINDINGS)
    somebody = await visitor(tmp_path)

    for path in ("/control", "/runs/20261124T030000-000000-abcdef"):
        page = (await somebody.http.get(path)).text

        assert re.findall('data-finding="(.+?)"', page) == ["token", "kafka"]
        assert "HubSpot refuses &lt;it&gt;<br><strong>Do:</strong> put a new one there" in page
        assert "Not done" not in page


async def test_the_doctor_is_asked_as_a_process_about_the_first_worker(
    tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def start(_: Runs, *told: Any) -> Any:
        asked.append(told)
        return SimpleNamespace(id="7")

    monkeypatch.setattr(Runs, "start", start)

    answer = await post(await visitor(tmp_path), "/control/doctor")

    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/7")
    [(kind, arguments, who, form, _)] = asked
    assert (kind, arguments) == ("doctor", ["doctor", "--json", f"--worker-url={ONE}"])
    assert (who, form) == ("operator token", {})
