"""`scripts/update_hubspot.sh` once it has asked for the update: waiting, health, and what nobody may see."""

import os
import pty
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.foreign.aws.app_runner import ARN, LIVE, OLD_TOKEN, TOKEN, AppRunner, image_source
from tests.foreign.aws.definitions import ROOT

SCRIPT = "update_hubspot"
UPDATE = "apprunner update-service"


@pytest.fixture
def account(tmp_path: Path) -> AppRunner:
    return AppRunner(tmp_path)


@pytest.mark.parametrize("status", ["FAILED", "ROLLBACK_SUCCEEDED", "ROLLBACK_FAILED"])
def test_an_update_that_fails_ends_with_5(account: AppRunner, status: str) -> None:
    account.play = ["PENDING", "IN_PROGRESS", status]

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 5
    assert f"update-service ended with {status}" in ran.errors
    assert [call["program"] for call in account.calls()].count("curl") == 0


def test_a_rollback_that_goes_on_is_waited_for(account: AppRunner) -> None:
    account.play = ["IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCEEDED"]

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 5
    assert ran.output.count("ROLLBACK_IN_PROGRESS") == 1


def test_an_update_that_takes_too_long_ends_with_5_and_says_where_to_look(account: AppRunner) -> None:
    account.play = ["IN_PROGRESS"]

    ran = account.run(SCRIPT, "--yes", "--timeout", "1", **LIVE)

    assert ran.code == 5
    assert "update-service is IN_PROGRESS after 1 s" in ran.errors
    assert ARN in ran.errors


def test_a_refused_update_ends_with_5_and_shows_no_token_in_the_answer(account: AppRunner) -> None:
    account.source = image_source(HUBSPOT_PRIVATE_APP_TOKEN=OLD_TOKEN)
    account.failures[UPDATE] = [f"InvalidRequestException: {TOKEN} and {OLD_TOKEN}"]

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 5
    assert "InvalidRequestException: ******** and ********" in ran.errors


def test_looks_that_fail_now_and_then_do_not_matter(account: AppRunner) -> None:
    account.failures["apprunner list-operations"] = ["Throttling"] * 4 + [""] + ["Throttling"] * 4

    assert account.run(SCRIPT, "--yes", **LIVE).code == 0


def test_a_wait_whose_looks_all_fail_ends_with_5(account: AppRunner) -> None:
    account.failures["apprunner list-operations"] = ["ExpiredToken"] * 5

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 5
    assert "ExpiredToken" in ran.errors


def test_a_service_that_gets_well_within_a_minute_is_well(account: AppRunner) -> None:
    account.health = [(0, ""), (503, '{"status": "unwell"}'), (200, "{}")]

    assert account.run(SCRIPT, "--yes", **LIVE).code == 0


@pytest.mark.parametrize(
    ("health", "said"),
    [((503, '{"unwell": {"hubspot": "halted"}}'), "503, 6 times: "), ((0, ""), "no answer, 6 times")],
)
def test_a_service_that_stays_unwell_ends_with_6(account: AppRunner, health: tuple[int, str], said: str) -> None:
    account.health = [health]

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 6
    assert said in ran.errors
    assert health[1] in ran.errors


def test_the_token_is_on_no_command_line_and_in_no_output_not_even_when_bash_traces(account: AppRunner) -> None:
    account.source = image_source(HUBSPOT_PRIVATE_APP_TOKEN=OLD_TOKEN)
    account.shell = ("bash", "-x")

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 0, ran.errors
    assert "+ main --yes" in ran.errors
    for token in (TOKEN, OLD_TOKEN):
        assert token not in ran.all
        assert token not in str([call["arguments"] for call in account.calls()])


def test_the_request_is_readable_by_its_owner_alone_and_removed(account: AppRunner) -> None:
    account.run(SCRIPT, "--yes", **LIVE)

    (update,) = account.calls(UPDATE)
    assert update["modes"] == ["0o600", "0o700"]
    assert not Path(update["folder"]).exists()
    assert list((account.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_no_file(account: AppRunner, number: signal.Signals) -> None:
    account.play = ["IN_PROGRESS"]
    environment = account.environment(LIVE)

    with subprocess.Popen(
        [ROOT / "scripts" / f"{SCRIPT}.sh", "--yes"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # What the tests' own process was told to ignore, as one in the background is, a script can't heed.
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),  # noqa: PLW1509 - no threads in this process
    ) as running:
        assert running.stdout is not None
        # Its folder is there from before this line on.
        while "IN_PROGRESS" not in running.stdout.readline():
            assert running.poll() is None
        assert list((account.folder / "tmp").iterdir()) != []
        running.send_signal(number)
        code = running.wait(20)

    assert code == 128 + number
    assert list((account.folder / "tmp").iterdir()) == []


def test_at_a_terminal_the_wait_is_one_line_that_counts(account: AppRunner) -> None:
    account.play = ["", "PENDING", "IN_PROGRESS", "SUCCEEDED"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [ROOT / "scripts" / f"{SCRIPT}.sh", "--yes"], env=account.environment(LIVE), stdout=theirs, stdin=theirs
    ) as running:
        assert running.wait(20) == 0
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)

    (line,) = [line for line in shown.split("\r\n") if "update-service" in line]
    assert [step.split()[1] for step in line.split("\r")[1:]] == ["PENDING", "PENDING", "IN_PROGRESS", "RUNNING"]
