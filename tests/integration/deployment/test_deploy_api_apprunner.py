"""`scripts/deploy_api_apprunner.sh` beside a fake `aws`: which deployment it asks for, and what it changes before."""

from pathlib import Path

import pytest

from tests.foreign.aws.app_runner import IMAGE, LIVE, TOKEN, AppRunner, code_source, image_source
from tests.foreign.aws.definitions import REGION

SCRIPT = "deploy_api_apprunner"
NEW_IMAGE = IMAGE.replace("1.4.1", "1.4.2")


@pytest.fixture
def account(tmp_path: Path) -> AppRunner:
    return AppRunner(tmp_path)


def test_a_deployment_is_started_waited_for_and_its_health_asked(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--yes")

    assert ran.code == 0, ran.errors
    assert account.changed == ["start-deployment"]
    assert f"start-deployment of {IMAGE}" in ran.output
    assert ran.output.splitlines()[-2].split()[:2] == ["start-deployment:", "RUNNING"]
    assert ran.output.endswith("/v1/health: 200, well\n")


@pytest.mark.parametrize("script", [SCRIPT, "update_hubspot"])
def test_without_an_exported_region_the_configured_one_is_used(account: AppRunner, script: str) -> None:
    account.configured_region = REGION
    ran = account.run(script, "--yes", AWS_REGION="", **LIVE)

    assert ran.code == 0, ran.errors
    assert f"in {REGION} of account" in ran.output
    assert {tuple(call["arguments"][:2]) for call in account.calls() if "command" in call} == {("--region", REGION)}


@pytest.mark.parametrize("script", [SCRIPT, "update_hubspot"])
def test_an_exported_region_counts_before_the_configured_one(account: AppRunner, script: str) -> None:
    account.configured_region = "us-east-1"
    ran = account.run(script, "--dry-run", AWS_REGION="", AWS_DEFAULT_REGION=REGION, **LIVE)

    assert f"in {REGION} of account" in ran.output, ran.errors


@pytest.mark.parametrize("script", [SCRIPT, "update_hubspot"])
def test_without_any_region_the_script_names_both_ways_to_set_one(account: AppRunner, script: str) -> None:
    ran = account.run(script, "--yes", AWS_REGION="", **LIVE)

    assert (ran.code, account.calls("sts get-caller-identity")) == (2, [])
    assert "AWS_REGION is not set" in ran.errors
    assert "aws configure get region" in ran.errors


def test_a_new_image_is_an_update_that_keeps_everything_else(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--yes", "--image", NEW_IMAGE)

    expected = image_source()
    expected["ImageRepository"]["ImageIdentifier"] = NEW_IMAGE
    assert ran.code == 0, ran.errors
    assert account.changed == ["update-service"]
    assert account.requested == expected
    assert f"{IMAGE} -> {NEW_IMAGE}" in ran.output


def test_the_image_that_the_service_names_already_is_pulled_anew(account: AppRunner) -> None:
    assert account.run(SCRIPT, "--yes", "--image", IMAGE).code == 0
    assert account.changed == ["start-deployment"]


def test_exported_variables_are_set_before_the_deployment(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--yes", **LIVE)

    assert ran.code == 0, ran.errors
    assert account.changed == ["update-service", "start-deployment"]
    assert account.requested == image_source(**LIVE)
    assert TOKEN not in ran.all


def test_exported_variables_go_with_a_new_image_in_one_update(account: AppRunner) -> None:
    assert account.run(SCRIPT, "--yes", "--image", NEW_IMAGE, **LIVE).code == 0
    assert account.changed == ["update-service"]


def test_an_update_that_fails_is_followed_by_no_deployment(account: AppRunner) -> None:
    account.play = ["ROLLBACK_SUCCEEDED"]

    assert account.run(SCRIPT, "--yes", **LIVE).code == 5
    assert account.changed == ["update-service"]


def test_a_service_configured_by_its_repository_is_deployed_all_the_same(account: AppRunner) -> None:
    account.source = code_source(configured_by="REPOSITORY")

    ran = account.run(SCRIPT, "--yes")

    assert ran.code == 0, ran.errors
    assert "start-deployment of the newest commit" in ran.output


@pytest.mark.parametrize("options", [[], ["--image", NEW_IMAGE]])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(account: AppRunner, options: list[str]) -> None:
    ran = account.run(SCRIPT, "--dry-run", *options, **LIVE)

    assert ran.code == 0
    assert ("start-deployment of" in ran.output) is (not options)
    assert "dry run: nothing was deployed" in ran.output
    assert account.changed == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1)])
def test_nothing_is_deployed_without_a_yes(account: AppRunner, answer: str, code: int) -> None:
    ran = account.run(SCRIPT, answer=answer)

    assert "Deploy nerava-backend? [y/N]" in ran.output
    assert ran.code == code
    assert len(account.changed) == 1 - code


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "of which image"),
        ("nerava-backend:1.4.2", "should be 123456789012.dkr.ecr"),
        (f"{NEW_IMAGE} --debug", "should be 123456789012.dkr.ecr"),
        ("public.ecr.aws/nerava/backend:1.4.2", "takes images of ECR, and this one is of ECR_PUBLIC"),
    ],
)
def test_an_image_that_the_service_can_not_take_ends_with_2(account: AppRunner, image: str, words: str) -> None:
    ran = account.run(SCRIPT, "--yes", "--image", image)

    assert ran.code == 2
    assert words in ran.errors
    assert account.changed == []


def test_a_service_built_from_code_takes_no_image(account: AppRunner) -> None:
    account.source = code_source()

    ran = account.run(SCRIPT, "--yes", "--image", NEW_IMAGE)

    assert ran.code == 2
    assert "built from a code repository" in ran.errors


def test_a_refused_deployment_ends_with_5(account: AppRunner) -> None:
    account.failures["apprunner start-deployment"] = ["InvalidRequestException: not now"]

    ran = account.run(SCRIPT, "--yes")

    assert ran.code == 5
    assert "start-deployment was refused: InvalidRequestException: not now" in ran.errors


@pytest.mark.parametrize(("names", "health", "code"), [(["other"], (200, ""), 4), (["nerava-backend"], (500, "no"), 6)])
def test_the_exit_codes_are_those_of_the_other_script(
    account: AppRunner, names: list[str], health: tuple[int, str], code: int
) -> None:
    account.names, account.health = names, [health]

    assert account.run(SCRIPT, "--yes").code == code


def test_help_teaches_without_any_setting(account: AppRunner) -> None:
    ran = account.run(SCRIPT, "--help", AWS_REGION="")

    assert ran.code == 0
    assert [word for word in ("--image", "--dry-run", "AWS_REGION", *LIVE) if word not in ran.output] == []
    assert account.calls() == []
