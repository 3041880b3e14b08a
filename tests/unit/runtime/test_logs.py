"""Logs: no whole email and no secret, whoever wrote the line; JSON, or for a person at a terminal."""

import json
import logging
import subprocess
import sys
import warnings
from typing import Any

import pytest
import structlog

from runtime.logs import LIBRARY, SameLine, log, set_up
from tests.foreign.spans import Spans

pytestmark = pytest.mark.usefixtures("own_logs")

PERSON = "secret.person@example.com"
SECRET = "open sesame"
Captured = pytest.CaptureFixture[str]


def lines(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_emails_are_masked_in_fields_in_exceptions_and_in_the_lines_of_libraries(capsys: Captured) -> None:
    set_up()
    try:
        int(PERSON)
    except ValueError:
        log.exception("service.failed", detail=f"about {PERSON}", several=[PERSON, {PERSON: (PERSON,)}])
    logging.getLogger("library").warning("sent to %s", PERSON)

    own, library = lines(capsys)
    assert own["event"] == "service.failed"
    assert "s***@example.com" in own["detail"]
    assert own["several"] == ["s***@example.com", {"s***@example.com": ["s***@example.com"]}]
    assert "int() with base 10: 's***@example.com'" in own["exception"]
    assert (library["event"], library["message"]) == (LIBRARY, "sent to s***@example.com")
    assert library["logger"] == "library"
    assert "secret.person" not in json.dumps([own, library])


def test_secrets_are_masked_wherever_they_are_quoted(capsys: Captured) -> None:
    set_up(secrets=["sesame", SECRET])
    try:
        int(f"the password {SECRET!r}")
    except ValueError:
        log.exception("service.failed", error=ConnectionError(SECRET), number=1, nothing=None)
    logging.getLogger("library").warning("sent %s", {"password": SECRET})

    printed = lines(capsys)
    assert "sesame" not in json.dumps(printed)
    assert printed[0]["error"] == "***"
    assert (printed[0]["number"], printed[0]["nothing"]) == (1, None)
    assert printed[1]["message"] == "sent {'password': '***'}"


@pytest.mark.parametrize("level", ["debug", "info"])
def test_lines_below_the_level_are_not_told_nor_are_libraries_below_a_warning(capsys: Captured, level: str) -> None:
    set_up(level=level)

    log.debug("event.published")
    log.info("relay.active")
    log.warning("relay.not_active")
    logging.getLogger("library").info("connected")

    assert log.is_enabled_for(logging.DEBUG) == (level == "debug")
    told = [line["event"] for line in lines(capsys)]
    assert told == ["event.published"] * (level == "debug") + ["relay.active", "relay.not_active"]


def test_a_person_at_a_terminal_sees_colours_and_masked_exceptions(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up(secrets=[SECRET])
    hidden = f"{PERSON} {SECRET}"
    try:
        int(hidden)
    except ValueError:
        log.exception("service.failed")
    logging.getLogger("library").warning("sent to %s", PERSON)

    shown = capsys.readouterr().err
    assert "\x1b[" in shown
    assert "Traceback" in shown
    assert "secret.person" not in shown
    assert "sesame" not in shown
    assert "s***@example.com" in shown

    monkeypatch.setenv("NO_COLOR", "1")
    set_up()
    structlog.get_logger().warning("relay.active")
    assert "\x1b[" not in capsys.readouterr().err


def test_a_line_says_in_which_trace_it_was_written_unless_it_is_about_another(capsys: Captured) -> None:
    set_up()
    with Spans().tracer.start_as_current_span("a call") as span:
        log.info("hubspot.refused")
        log.info("event.delivered", trace_id="of the event")
    log.info("relay.active")

    within, about, without = lines(capsys)
    assert within["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert about["trace_id"] == "of the event"
    assert "trace_id" not in without


def test_warnings_are_lines_too(capsys: Captured) -> None:
    set_up()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old: {PERSON}", stacklevel=1)

    [line] = lines(capsys)
    assert line["event"] == LIBRARY
    assert "old: s***@example.com" in line["message"]


@pytest.mark.parametrize("level", ["logging.INFO", "logging.CRITICAL"])
def test_a_fault_that_nobody_caught_is_a_line_without_an_email_and_ends_with_1(level: str) -> None:
    program = f"import logging; from runtime.logs import set_up; set_up(level={level}); int('{PERSON}')"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert json.loads(line)["event"] == "service.failed"
    assert "ValueError" in line
    assert "secret.person" not in line


def test_the_same_line_of_a_library_is_let_through_once() -> None:
    once = SameLine()

    def passes(message: str) -> bool:
        return once.filter(logging.LogRecord("aiokafka", logging.WARNING, "", 1, message, (), None))

    assert [passes("away"), passes("away"), passes("back")] == [True, False, True]
