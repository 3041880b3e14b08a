"""Exit codes: which one a service ends with, and what it says."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime import commands
from runtime.commands import run_service
from runtime.endings import CannotGoOn, Misconfigured


async def ending_with(error: Exception) -> None:
    raise error


def end(error: Exception) -> int:
    with pytest.raises(SystemExit) as ended:
        run_service(ending_with(error))
    code: Any = ended.value.code
    return int(code)


def test_the_codes_are_those_that_scripts_of_others_know() -> None:
    codes = (commands.FAILED, commands.MISCONFIGURED, commands.INTERRUPTED, commands.NOBODY_READS)

    assert codes == (1, 2, 130, 141)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (Misconfigured("PORT: no number"), 2, "PORT: no number\n"),
        (CannotGoOn("PORT: taken"), 1, "PORT: taken\n"),
        (ExceptionGroup("of tasks", [Misconfigured("PORT: no number")]), 2, "PORT: no number\n"),
    ],
)
def test_an_error_of_a_known_kind_is_told_in_a_line_of_its_own_words(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, says: str
) -> None:
    assert end(error) == code
    assert capsys.readouterr().err == says


def test_any_other_error_is_logged_and_ends_with_1() -> None:
    with capture_logs() as lines:
        code = end(ZeroDivisionError("of ours"))

    assert (code, [line["event"] for line in lines]) == (1, ["service.failed"])
