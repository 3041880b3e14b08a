"""`scripts/deploy_ecs.sh` and a deployment that goes wrong: the service goes back, and the exit code says why."""

import json
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tests.foreign.aws.definitions import definition, image
from tests.foreign.aws.ecs import GOOD, Account, Look, running

NEW = image("consumer", "1.4.2")
DEPLOY = ("--service", "consumer", "--image", NEW, "--yes")
DENIED = ("AccessDeniedException", "not allowed")
# On a busy machine, each of the many programs that a script starts takes a second.
pytestmark = pytest.mark.timeout(600)

ENDED = "new tasks ended, or did not start"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with running(Account(tmp_path)) as account:
        account.create("consumer")
        yield account


def is_at(account: Account, revision: int) -> bool:
    deployments = [found["taskDefinition"].rpartition(":")[2] for found in account.service.deployments]
    return deployments == [str(revision)] and account.service.task_definition.endswith(f":{revision}")


@pytest.mark.parametrize(
    ("play", "words", "real_cli"),
    [
        ([Look(), Look(health="UNHEALTHY")], "a new task is unhealthy", True),
        pytest.param([Look(), Look(failed=2), Look(failed=3)], ENDED, False, marks=pytest.mark.chaos),
        ([Look(), Look("FAILED", failed=1)], ENDED, False),
        pytest.param([Look(), Look("COMPLETED")], "0 of 2 tasks are healthy, 6 times", False, marks=pytest.mark.chaos),
    ],
)
def test_a_bad_image_leads_back_to_the_revision_before(
    account: Account, play: list[Look], words: str, *, real_cli: bool
) -> None:
    account.plays[NEW], account.real_cli = play, real_cli

    ran = account.run(*DEPLOY)

    assert ran.code == 6, ran.all
    assert f"{words}; the service is back at nerava-consumer:1" in ran.errors
    assert [sent["taskDefinition"].rpartition(":")[2] for sent in account.sent("UpdateService")] == ["2", "1"]
    assert is_at(account, 1)


@pytest.mark.chaos
def test_a_service_that_goes_back_by_itself_is_waited_for(account: Account) -> None:
    account.plays[NEW], account.circuit_breaker = [Look(), Look("FAILED", failed=3)], True

    ran = account.run(*DEPLOY)

    assert ran.code == 6, ran.all
    assert "the service is back at nerava-consumer:1" in ran.errors
    assert is_at(account, 1)


def test_a_deployment_that_takes_too_long_is_taken_back_and_ends_with_5(account: Account) -> None:
    account.plays = {NEW: [Look()], image("consumer"): GOOD[-1:]}

    ran = account.run(*DEPLOY, "--timeout", "2")

    assert ran.code == 5, ran.all
    assert "IN_PROGRESS after 2 s (--timeout); the service is back at nerava-consumer:1" in ran.errors
    assert is_at(account, 1)


@pytest.mark.parametrize("when", [2, 4])
def test_what_somebody_else_deploys_meanwhile_is_left_alone(account: Account, when: int) -> None:
    theirs = account.ecs.register_task_definition(**definition("consumer", tag="1.4.3"))["taskDefinition"]

    def deploy() -> None:
        account.service.task_definition = theirs["taskDefinitionArn"]

    account.meanwhile[when] = deploy
    ran = account.run(*DEPLOY)

    assert ran.code == 5, ran.all
    assert (
        "somebody changed the service meanwhile" if when == 2 else "somebody deployed nerava-consumer:2"
    ) in ran.errors
    assert account.service.task_definition.endswith(":2")


def test_an_update_that_is_refused_ends_with_5(account: Account) -> None:
    account.failures["UpdateService"] = [DENIED]

    ran = account.run(*DEPLOY)

    assert ran.code == 5
    assert "update-service was refused, and the service left as it is" in ran.errors
    assert is_at(account, 1)


@pytest.mark.chaos
def test_a_service_that_can_not_go_back_ends_with_7(account: Account) -> None:
    account.plays = {NEW: [Look(health="UNHEALTHY")], image("consumer"): [Look("FAILED", failed=3)]}

    ran = account.run(*DEPLOY)

    assert ran.code == 7
    assert "a new task is unhealthy; going back to nerava-consumer:1 is FAILED" in ran.errors


@pytest.mark.chaos
def test_going_back_that_is_refused_ends_with_7(account: Account) -> None:
    account.plays[NEW] = [Look(health="UNHEALTHY")]
    account.failures["UpdateService"] = [("", ""), DENIED]

    ran = account.run(*DEPLOY)

    assert ran.code == 7
    assert "going back to nerava-consumer:1 was refused" in ran.errors


@pytest.mark.chaos
def test_one_look_that_fails_says_nothing(account: Account) -> None:
    account.plays[NEW] = [Look(), *GOOD]
    account.failures["ListTasks"] = [DENIED]

    ran = account.run(*DEPLOY)

    assert ran.code == 0, ran.all
    assert is_at(account, 2)


@pytest.mark.chaos
def test_a_deployment_that_nobody_can_see_any_more_ends_with_7(account: Account) -> None:
    account.plays[NEW] = [Look()]
    account.failures["ListTasks"] = [DENIED] * 5

    ran = account.run(*DEPLOY)

    assert ran.code == 7
    assert "goes on unseen: AWS does not answer any more" in ran.errors


def test_the_answers_have_the_form_that_the_aws_clis_model_says(account: Account) -> None:
    account.plays[NEW] = [Look(), Look(health="UNHEALTHY")]
    model = botocore.session.get_session().get_service_model("ecs")

    account.run(*DEPLOY)

    answers = [
        (operation, json.loads(answer)) for operation, answer in account.answers if operation in model.operation_names
    ]
    assert {"DescribeServices", "ListTasks", "DescribeTasks", "UpdateService"} <= {
        operation for operation, _ in answers
    }
    for operation, answer in answers:
        report = ParamValidator().validate(answer, model.operation_model(operation).output_shape).generate_report()
        assert report == "", operation
