"""`scripts/update_hubspot.sh` beside a fake `aws`: what it changes, and what it keeps."""

from pathlib import Path

import pytest

from tests.foreign.aws.app_runner import (
    ARN,
    LIVE,
    OLD_TOKEN,
    OTHER_SECRETS,
    OTHERS,
    SECRET,
    TOKEN,
    AppRunner,
    code_source,
    image_source,
)

SCRIPT = "update_hubspot"
UPDATE = "apprunner update-service"


@pytest.fixture
def account(tmp_path: Path) -> AppRunner:
    return AppRunner(tmp_path)


def test_the_variables_are_merged_and_everything_else_is_kept(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 0, ran.errors
    expected = image_source(**LIVE)
    assert account.requested == expected
    assert account.calls(UPDATE)[0]["request"]["ServiceArn"] == ARN
    assert "abc.awsapprunner.example.com/v1/health: 200" in ran.output


def test_a_service_built_from_code_keeps_its_repository_and_commands(account: AppRunner) -> None:
    account.source = code_source(LOG_LEVEL="info")

    ran = account.run(SCRIPT, "--yes", HUBSPOT_ENABLED="true")

    assert ran.code == 0, ran.errors
    assert account.requested == code_source(LOG_LEVEL="info", HUBSPOT_ENABLED="true")


def test_a_service_configured_by_its_repository_is_refused(account: AppRunner) -> None:
    account.source = code_source(configured_by="REPOSITORY")

    ran = account.run(SCRIPT, "--yes", HUBSPOT_ENABLED="true")

    assert ran.code == 5
    assert "apprunner.yaml" in ran.errors
    assert account.changed == []


def test_the_difference_is_shown_with_the_tokens_and_other_values_hidden(account: AppRunner) -> None:
    account.source = image_source(
        HUBSPOT_ENABLED="false", HUBSPOT_PRIVATE_APP_TOKEN=OLD_TOKEN, HUBSPOT_PORTAL_ID="4242"
    )

    ran = account.run(SCRIPT, "--dry-run", **LIVE)

    shown = {words[1]: " ".join(words[2:]) for words in map(str.split, ran.output.splitlines()) if words[0] == "*"}
    assert shown == {
        "HUBSPOT_ENABLED": "false -> true",
        "HUBSPOT_SEND_LIVE": "(not set) -> true",
        "HUBSPOT_PRIVATE_APP_TOKEN": f"******** ({len(OLD_TOKEN)} characters) -> ******** ({len(TOKEN)} characters)",
    }
    assert "other variables: 2, other secrets: 1, left as they are" in ran.output
    assert "secret-of-the-database" not in ran.all


def test_a_dry_run_changes_nothing(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--dry-run", **LIVE)

    assert ran.code == 0
    assert "dry run: nothing was changed" in ran.output
    assert account.changed == []


@pytest.mark.parametrize(("answer", "code", "changed"), [("y\n", 0, ["update-service"]), ("n\n", 1, []), ("", 1, [])])
def test_nothing_is_changed_without_a_yes(account: AppRunner, answer: str, code: int, changed: list[str]) -> None:
    ran = account.run(SCRIPT, answer=answer, **LIVE)

    assert "Update nerava-backend? [y/N]" in ran.output
    assert ran.code == code
    assert account.changed == changed


def test_what_is_there_already_needs_no_update(account: AppRunner) -> None:
    account.source = image_source(**LIVE)

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 0
    assert "nothing to change" in ran.output
    assert account.changed == []
    assert [call["program"] for call in account.calls()][-1] == "curl"


def test_an_unset_or_empty_variable_leaves_the_services_own(account: AppRunner) -> None:
    account.source = image_source(**LIVE)

    ran = account.run(SCRIPT, "--yes", HUBSPOT_SEND_LIVE="false", HUBSPOT_PRIVATE_APP_TOKEN="")

    assert ran.code == 0, ran.errors
    assert account.requested == image_source(**LIVE | {"HUBSPOT_SEND_LIVE": "false"})


def test_a_live_run_may_rest_on_what_the_service_has(account: AppRunner) -> None:
    account.source = image_source(**LIVE | {"HUBSPOT_SEND_LIVE": "false"})

    assert account.run(SCRIPT, "--yes", HUBSPOT_SEND_LIVE="YES").code == 0
    assert account.requested == image_source(**LIVE)


@pytest.mark.parametrize("arn", [SECRET, f"{SECRET}:token::", OTHER_SECRETS["STRIPE_KEY"]])
def test_a_secret_takes_the_place_of_the_plain_token(account: AppRunner, arn: str) -> None:
    account.source = image_source(**LIVE)

    ran = account.run(SCRIPT, "--yes", HUBSPOT_TOKEN_SECRET_ARN=arn)

    assert ran.code == 0, ran.errors
    configuration = account.requested["ImageRepository"]["ImageConfiguration"]
    without = {name: value for name, value in LIVE.items() if name != "HUBSPOT_PRIVATE_APP_TOKEN"}
    assert configuration["RuntimeEnvironmentVariables"] == OTHERS | without
    assert configuration["RuntimeEnvironmentSecrets"] == OTHER_SECRETS | {"HUBSPOT_PRIVATE_APP_TOKEN": arn}


def test_a_secret_needs_the_services_instance_role(account: AppRunner) -> None:
    account.instance_role = None

    ran = account.run(SCRIPT, "--yes", HUBSPOT_TOKEN_SECRET_ARN=SECRET)

    assert ran.code == 5
    assert "has no instance role" in ran.errors
    assert account.changed == []


def test_a_plain_token_does_not_take_the_place_of_a_secret(account: AppRunner) -> None:
    secrets = account.source["ImageRepository"]["ImageConfiguration"]["RuntimeEnvironmentSecrets"]
    secrets["HUBSPOT_PRIVATE_APP_TOKEN"] = SECRET

    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 2
    assert SECRET in ran.errors
    assert account.changed == []


def test_help_teaches_without_any_setting(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--help", AWS_REGION="")

    assert ran.code == 0
    words = ("--dry-run", "--yes", "--timeout", "AWS_REGION", "SERVICE_NAME", "HUBSPOT_TOKEN_SECRET_ARN", *LIVE)
    assert [word for word in words if word not in ran.output] == []
    assert account.calls() == []
