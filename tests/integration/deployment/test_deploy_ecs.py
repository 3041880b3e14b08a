"""`scripts/deploy_ecs.sh` with moto in AWS's place: what it deploys, in which order, and what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.aws.definitions import REGION, definition, image
from tests.foreign.aws.ecs import CLUSTER, Account, Look, running

CONSUMER = ("--service", "consumer")
NEW = ("--image", image("consumer", "1.4.2"))
PRODUCER = ("--service", "producer", "--image", image("producer", "1.4.2"))
PASSWORD = "the-password-of-the-database"
# On a busy machine, each of the many programs that a script starts takes a second.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with running(Account(tmp_path)) as account:
        yield account


def revision(account: Account, number: int, service: str = "consumer") -> dict[str, Any]:
    """Return a revision without what tells it from the others."""
    found: dict[str, Any] = account.ecs.describe_task_definition(taskDefinition=f"nerava-{service}:{number}")
    told = {"taskDefinitionArn", "revision", "registeredAt"}
    return {name: value for name, value in found["taskDefinition"].items() if name not in told}


def write(account: Account, content: dict[str, Any]) -> str:
    file = account.folder / "definition.json"
    file.write_text(json.dumps(content))
    return str(file)


def variable(content: dict[str, Any], name: str, value: str) -> None:
    content["containerDefinitions"][0]["environment"].append({"name": name, "value": value})


@pytest.mark.parametrize("real_cli", [False, True])
def test_a_new_image_is_a_new_revision_that_keeps_everything_else(account: Account, *, real_cli: bool) -> None:
    account.real_cli = real_cli
    account.create("consumer", definition("consumer") | {"tags": [{"key": "team", "value": "growth"}]})

    ran = account.run(*CONSUMER, *NEW, "--yes")

    expected = revision(account, 1)
    expected["containerDefinitions"][0]["image"] = image("consumer", "1.4.2")
    assert ran.code == 0, ran.errors
    assert revision(account, 2) == expected
    assert account.sent("RegisterTaskDefinition")[0]["tags"] == [{"key": "team", "value": "growth"}]
    assert account.changed == ["RegisterTaskDefinition", "UpdateService"]
    assert account.service.task_definition.endswith("nerava-consumer:2")
    assert ran.output.endswith("nerava-consumer: nerava-consumer:2, 2 of 2 tasks are healthy\n")
    assert list((account.folder / "tmp").iterdir()) == []


def test_migrations_and_topics_run_in_the_new_image_before_the_producer_has_it(account: Account) -> None:
    account.real_cli = True
    account.create("producer")

    ran = account.run(*PRODUCER, "--yes")

    assert ran.code == 0, ran.errors
    assert account.changed == ["RegisterTaskDefinition", "RunTask", "RunTask", "UpdateService"]
    migrate, topics = account.sent("RunTask")
    assert [migrate["overrides"]["containerOverrides"], topics["overrides"]["containerOverrides"]] == [
        [{"name": "producer", "command": ["migrate"]}],
        [{"name": "producer", "command": ["topics"]}],
    ]
    assert migrate["taskDefinition"].endswith("nerava-producer:2")
    assert migrate["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    assert migrate["launchType"] == "FARGATE"


@pytest.mark.parametrize(
    ("command", "code", "words"), [("migrate", 1, "exit code 1"), ("topics", None, "CannotPullContainerError")]
)
def test_a_service_stays_as_it_is_when_a_task_before_it_fails(
    account: Account, command: str, code: int | None, words: str
) -> None:
    account.create("producer")
    account.exit_codes[command] = code

    ran = account.run(*PRODUCER, "--yes")

    assert ran.code == 5
    assert f"run-task {command} failed, and the service was left as it is: {words}" in ran.errors
    assert account.sent("UpdateService") == []


def test_a_service_stays_as_it_is_when_a_task_before_it_takes_too_long_or_is_refused(account: Account) -> None:
    account.create("producer")
    account.endless.add("migrate")

    slow = account.run(*PRODUCER, "--yes", "--timeout", "1")
    account.failures["RunTask"] = [("AccessDeniedException", "not allowed")]
    refused = account.run(*PRODUCER, "--yes")

    assert (slow.code, refused.code) == (5, 5)
    assert "run-task migrate is RUNNING after 1 s (--timeout), and the service was left as it is" in slow.errors
    assert "run-task migrate was refused, and the service left as it is" in refused.errors
    assert account.sent("UpdateService") == []


def test_where_the_outbox_has_another_owner_topics_alone_run_first(account: Account) -> None:
    account.create("producer")

    ran = account.run(*PRODUCER, "--dry-run", ECS_RUN_FIRST="topics")

    assert "register-task-definition, run-task topics, update-service" in ran.output, ran.errors


def test_a_dry_run_changes_nothing(account: Account) -> None:
    account.create("producer")

    ran = account.run(*PRODUCER, "--dry-run")

    assert ran.code == 0, ran.errors
    assert f"{image('producer')} -> {image('producer', '1.4.2')}" in ran.output
    assert "register-task-definition, run-task migrate, run-task topics, update-service" in ran.output
    assert "dry run: nothing was deployed" in ran.output
    assert account.changed == []


@pytest.mark.parametrize(("answer", "code", "changes"), [("y\n", 0, 2), ("\n", 1, 0)])
def test_nothing_is_deployed_without_a_yes(account: Account, answer: str, code: int, changes: int) -> None:
    account.create("consumer")

    ran = account.run(*CONSUMER, *NEW, answer=answer)

    assert "Deploy nerava-consumer? [y/N]" in ran.output
    assert (ran.code, len(account.changed)) == (code, changes)


def test_the_image_that_the_service_has_already_is_nothing_to_change(account: Account) -> None:
    account.create("consumer")
    file = write(account, definition("consumer"))

    for options in (("--image", image("consumer")), ("--definition", file)):
        ran = account.run(*CONSUMER, *options, "--yes")

        assert (ran.code, account.changed) == (0, []), ran.all
        assert ran.output.endswith("nothing to change\n")


def test_other_settings_come_from_a_file_and_are_shown_hidden(account: Account) -> None:
    before, after = definition("consumer"), definition("consumer", portal="4343") | {"memory": "4096"}
    variable(before, "DATABASE_URL", PASSWORD)
    after["containerDefinitions"][0]["secrets"].pop(0)
    variable(after, "HUBSPOT_PRIVATE_APP_TOKEN", "pat-na1-the-token")
    account.create("consumer", before)

    ran = account.run(*CONSUMER, "--definition", write(account, after), "--yes")

    secret = definition("consumer")["containerDefinitions"][0]["secrets"][0]["valueFrom"]
    assert ran.code == 0, ran.errors
    assert [line.split()[1:] for line in ran.output.splitlines() if line.startswith("*")] == [
        ["memory", "2048", "->", "4096"],
        ["DATABASE_URL", "********", "(28", "characters)", "->", "(not", "set)"],
        ["HUBSPOT_PORTAL_ID", "4242", "->", "4343"],
        ["HUBSPOT_PRIVATE_APP_TOKEN", "secret", secret, "->", "********", "(17", "characters)"],
    ]
    assert "other variables: 7, other secrets: 1, left as they are" in ran.output
    assert account.sent("RegisterTaskDefinition")[0] == after
    assert "pat-na1" not in ran.all


def test_values_are_in_no_output_not_even_when_bash_traces_or_aws_repeats_them(account: Account) -> None:
    registered = definition("consumer")
    variable(registered, "DATABASE_URL", PASSWORD)
    account.create("consumer", registered)
    account.shell, account.real_cli = ("bash", "-x"), True
    account.failures["RegisterTaskDefinition"] = [("ClientException", f"Container.environment {PASSWORD} is invalid")]

    ran = account.run(*CONSUMER, *NEW, "--yes")

    assert ran.code == 5
    assert "+ main --service consumer" in ran.errors
    assert "register-task-definition was refused" in ran.errors
    assert "Container.environment ******** is invalid" in ran.errors
    assert PASSWORD in str(account.sent("RegisterTaskDefinition"))
    assert PASSWORD not in ran.all
    assert account.sent("GetSecretValue") == []


def test_without_an_exported_region_the_configured_one_is_used(account: Account) -> None:
    account.create("consumer")
    account.configured_region, account.real_cli = REGION, True

    ran = account.run(*CONSUMER, *NEW, "--dry-run", AWS_REGION="")

    assert ran.code == 0, ran.errors
    assert f"in cluster nerava in {REGION} of account" in ran.output


@pytest.mark.parametrize(
    ("options", "exported", "words"),
    [
        ((*CONSUMER, *NEW), {"AWS_REGION": ""}, "AWS_REGION is not set"),
        (PRODUCER, {"ECS_RUN_FIRST": "topics,migrate"}, "ECS_RUN_FIRST: should be migrate and topics"),
        (("--service", "simulator", *NEW), {}, "--service: should be producer, consumer or console"),
        (NEW, {}, "--service: should be producer, consumer or console"),
        (("--service",), {}, "--service: of which one?"),
        (CONSUMER, {}, "--image: of which image? (Or --definition"),
        ((*CONSUMER, "--image", "nerava-consumer:1.4.2"), {}, "--image: should be 123456789012.dkr.ecr"),
        ((*CONSUMER, "--definition", "none.json"), {}, "none.json can't be read as JSON"),
        ((*CONSUMER, "--force"), {}, "--force: no such option"),
    ],
)
def test_a_wrong_option_is_named_and_ends_with_2(
    account: Account, options: tuple[str, ...], exported: dict[str, str], words: str
) -> None:
    ran = account.run(*options, **exported)

    assert (ran.code, account.calls) == (2, [])
    assert words in ran.errors


def test_a_file_with_placeholders_or_of_another_service_is_refused(account: Account) -> None:
    account.create("consumer")
    unfilled, others = definition("consumer", region="<region>"), definition("console")

    for content, words in ((unfilled, "still has <region>"), (others, "its family is nerava-console")):
        ran = account.run(*CONSUMER, "--definition", write(account, content), "--yes")

        assert ran.code == 2
        assert words in ran.errors
    assert account.changed == []


@pytest.mark.parametrize(
    ("exported", "words"),
    [
        ({"SERVICE_NAME": "nerava"}, "no service nerava in cluster nerava in eu-west-1 of account 123456789012"),
        ({"ECS_CLUSTER": "other"}, "no cluster other in eu-west-1 of account 123456789012"),
    ],
)
def test_a_service_that_is_not_there_ends_with_4(account: Account, exported: dict[str, str], words: str) -> None:
    account.create("consumer")

    ran = account.run(*CONSUMER, *NEW, "--yes", **exported)

    assert ran.code == 4
    assert words in ran.errors


def test_credentials_that_aws_refuses_end_with_3(account: Account) -> None:
    account.failures["GetCallerIdentity"] = [("ExpiredToken", "The security token included in the request is expired")]

    ran = account.run(*CONSUMER, *NEW, "--yes")

    assert ran.code == 3
    assert "no credentials that AWS takes" in ran.errors


@pytest.mark.parametrize("state", ["another deployment", "another controller"])
def test_a_service_that_can_not_be_deployed_now_ends_with_5(account: Account, state: str) -> None:
    account.create("consumer")
    if state == "another deployment":
        account.plays[image("consumer")] = [Look()]
        account.ecs.register_task_definition(**definition("consumer"))
        account.ecs.update_service(cluster=CLUSTER, service="nerava-consumer", taskDefinition="nerava-consumer:2")
        words = "a deployment of the service is under way"
    else:
        account.service.deployment_controller = {"type": "CODE_DEPLOY"}
        words = "the service is deployed by CODE_DEPLOY"
    account.calls.clear()

    ran = account.run(*CONSUMER, *NEW, "--yes")

    assert (ran.code, account.changed) == (5, [])
    assert words in ran.errors


def test_a_service_without_a_health_check_is_refused(account: Account) -> None:
    registered = definition("consumer")
    del registered["containerDefinitions"][0]["healthCheck"]
    account.create("consumer", registered)

    ran = account.run(*CONSUMER, *NEW, "--yes")

    assert (ran.code, account.changed) == (5, [])
    assert "has no healthCheck" in ran.errors


def test_help_teaches_without_any_setting(account: Account) -> None:
    ran = account.run("--help", AWS_REGION="")

    assert (ran.code, account.calls) == (0, [])
    assert [
        word for word in ("--service", "--image", "--definition", "ECS_CLUSTER", "  7  ") if word not in ran.output
    ] == []
