"""docs/ecs.md, followed word by word with the AWS CLI: its commands make the services, and the script deploys them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.aws.definitions import ROOT, image
from tests.foreign.aws.ecs import Account, running

PAGE = (ROOT / "docs" / "ecs.md").read_text()
ONCE = PAGE.partition("## Once\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"```sh\n(.*?)```", ONCE, re.DOTALL)
SERVICES = ("producer", "consumer", "console")
# On a busy machine, each of the many programs that a script starts takes a second.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with running(Account(tmp_path, real_cli=True)) as account:
        yield account


def secret(service: str) -> dict[str, str]:
    (container,) = json.loads((ROOT / "deploy" / "ecs" / f"{service}.json").read_text())["containerDefinitions"]
    return {found["name"]: "a value" for found in container["secrets"]}


def followed(account: Account) -> subprocess.CompletedProcess[str]:
    """Run the commands, with moto's network and a folder of the test's in place of the page's."""
    subnet, group = account.network()
    first, *others = COMMANDS
    for named, there in (("subnet-1,subnet-2", subnet), ("sg-1", group), ("~/nerava-ecs", str(account.folder))):
        assert named in first
        first = first.replace(named, there)
    for service in SERVICES:
        (account.folder / f"{service}-secret.json").write_text(json.dumps(secret(service)))
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join((first, *others))],
        cwd=ROOT,
        env=account.environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def test_the_commands_make_services_that_the_script_deploys(account: Account) -> None:
    done = followed(account)

    assert done.returncode == 0, done.stderr
    made: list[dict[str, Any]] = account.sent("CreateService")
    assert [service["serviceName"] for service in made] == [f"nerava-{name}" for name in SERVICES]
    for service in made:
        assert service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
        assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
        assert "loadBalancers" not in service
    commands = [task["overrides"]["containerOverrides"][0]["command"] for task in account.sent("RunTask")]
    assert commands == [["migrate"], ["topics"]]
    assert re.findall(r"^0$", done.stdout, re.MULTILINE) == ["0", "0"]
    assert account.sent("PutRetentionPolicy")[0]["retentionInDays"] == 30
    for name in SERVICES:
        assert "<" not in (account.folder / f"{name}.json").read_text()

    account.real_cli = False
    ran = account.run("--service", "producer", "--image", image("producer", "1.4.2"), answer="y\n")

    assert ran.code == 0, ran.errors
    assert [line for line in ran.output.splitlines()[:4] if line not in PAGE] == []
    assert ran.output.splitlines()[-1] in PAGE


def test_the_rights_are_those_that_the_script_uses() -> None:
    script = (ROOT / "scripts" / "deploy_ecs.sh").read_text() + (ROOT / "scripts" / "aws.sh").read_text()
    called = {re.sub(r"(^|-)(.)", lambda word: word[2].upper(), name) for name in re.findall(r" ecs ([a-z-]+)", script)}
    section = PAGE.partition("### What the script may do\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(?:ecs:)?([A-Z]\w+)`", section)) - {"TagResource"} == called
