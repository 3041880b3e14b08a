"""Logs: no whole email, whoever wrote the line, and the same line once in a while."""

import json
import logging

import pytest
import structlog

from runtime.logs import SameLine, set_up

pytestmark = pytest.mark.usefixtures("own_logs")


def test_emails_are_masked_in_fields_in_exceptions_and_in_the_lines_of_libraries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up()
    try:
        int("secret.person@example.com")
    except ValueError:
        structlog.get_logger().exception("test.failed", detail="about secret.person@example.com")
    logging.getLogger("library").warning("sent to %s", "secret.person@example.com")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["test.failed", "sent to s***@example.com"]
    assert "s***@example.com" in lines[0]["detail"]
    assert "secret.person" not in json.dumps(lines)


def test_the_same_line_of_a_library_is_let_through_once() -> None:
    once = SameLine()

    def passes(message: str) -> bool:
        return once.filter(logging.LogRecord("aiokafka", logging.WARNING, "", 1, message, (), None))

    assert [passes("away"), passes("away"), passes("back")] == [True, False, True]
