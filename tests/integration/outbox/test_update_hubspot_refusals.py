"""`scripts/update_hubspot.sh` beside a fake `aws`: what it refuses, and the exit codes that say why."""

from pathlib import Path

import pytest

from tests.foreign.aws.app_runner import ARN, LIVE, SECRET, TOKEN, AppRunner

SCRIPT = "update_hubspot"
UPDATE = "apprunner update-service"


@pytest.fixture
def account(tmp_path: Path) -> AppRunner:
    return AppRunner(tmp_path)


@pytest.mark.parametrize(
    ("exported", "named"),
    [
        ({}, "nothing to set: export one or more of HUBSPOT_ENABLED"),
        ({"AWS_REGION": "", "HUBSPOT_ENABLED": "true"}, "AWS_REGION is not set"),
        ({"HUBSPOT_ENABLED": "perhaps"}, "HUBSPOT_ENABLED: should be true or false"),
        (LIVE | {"HUBSPOT_ENABLED": "false"}, "set HUBSPOT_ENABLED=true"),
        (LIVE | {"HUBSPOT_ENABLED": ""}, "set HUBSPOT_ENABLED=true"),
        (LIVE | {"HUBSPOT_PRIVATE_APP_TOKEN": ""}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"),
        (LIVE | {"HUBSPOT_PORTAL_ID": ""}, "HUBSPOT_PORTAL_ID is not set"),
        (LIVE | {"HUBSPOT_PORTAL_ID": TOKEN}, "HUBSPOT_PORTAL_ID: should be"),
        (LIVE | {"HUBSPOT_PORTAL_ID": "0"}, "HUBSPOT_PORTAL_ID: should be"),
        (LIVE | {"HUBSPOT_PRIVATE_APP_TOKEN": f"{TOKEN}\n"}, "HUBSPOT_PRIVATE_APP_TOKEN: holds white space"),
        (LIVE | {"HUBSPOT_TOKEN_SECRET_ARN": SECRET}, "are both set"),
        ({"HUBSPOT_TOKEN_SECRET_ARN": TOKEN}, "HUBSPOT_TOKEN_SECRET_ARN: should be the ARN"),
    ],
)
def test_a_wrong_or_missing_variable_is_named_and_ends_with_2(
    account: AppRunner, exported: dict[str, str], named: str
) -> None:
    ran = account.run(SCRIPT, "--yes", **exported)

    assert ran.code == 2
    assert named in ran.errors
    assert TOKEN not in ran.all
    assert account.changed == []


@pytest.mark.parametrize("options", [["--dryrun"], ["--timeout"], ["--timeout", "soon"], ["--image", "x"], ["live"]])
def test_a_wrong_option_is_named_and_ends_with_2(account: AppRunner, options: list[str]) -> None:
    ran = account.run(SCRIPT, *options, **LIVE)

    assert ran.code == 2
    assert options[0] in ran.errors
    assert account.calls() == []


@pytest.mark.parametrize("missing", ["aws", "curl"])
def test_a_missing_program_is_named_and_ends_with_3(account: AppRunner, missing: str) -> None:
    account.programs = tuple({"aws", "curl"} - {missing})

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 3
    assert f"{missing} is not installed" in ran.errors


def test_credentials_that_aws_refuses_end_with_3(account: AppRunner) -> None:
    account.failures["sts get-caller-identity"] = ["Unable to locate credentials"]

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 3
    assert "Unable to locate credentials" in ran.errors


def test_a_service_on_a_later_page_is_found(account: AppRunner) -> None:
    account.names = ["a", "b", "-nerava-backend", "nerava-backend-2", "nerava-backend"]

    assert account.run(SCRIPT, "--yes", **LIVE).code == 0
    assert account.calls(UPDATE)[0]["request"]["ServiceArn"] == ARN
    assert len(account.calls("apprunner list-services")) == 3


@pytest.mark.parametrize("names", [[], ["nerava-backend-2", "nerava", "-nerava-backend"]])
def test_a_service_that_is_not_there_ends_with_4(account: AppRunner, names: list[str]) -> None:
    account.names = names

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 4
    assert "no service nerava-backend in eu-west-1 of account 123456789012" in ran.errors


def test_the_services_name_is_a_setting(account: AppRunner) -> None:
    account.run(SCRIPT, "--dry-run", **LIVE, SERVICE_NAME="another")

    assert account.calls("apprunner describe-service")[0]["arguments"][-1] == f"{ARN}-another"


@pytest.mark.parametrize("status", ["PAUSED", "OPERATION_IN_PROGRESS"])
def test_a_service_that_does_not_run_is_not_changed(account: AppRunner, status: str) -> None:
    account.status = status

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 5
    assert f"the service is {status}" in ran.errors
    assert account.changed == []


def test_a_change_that_somebody_made_meanwhile_is_not_undone(account: AppRunner) -> None:
    account.changed_at_description = 2

    ran = account.run(SCRIPT, answer="y\n", **LIVE)

    assert ran.code == 5
    assert "somebody changed the service meanwhile" in ran.errors
    assert account.changed == []
