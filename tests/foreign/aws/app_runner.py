"""A service on AWS App Runner, for the scripts that change it: a fake `aws` and `curl` on their PATH."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from tests.foreign.aws.definitions import REGION, ROOT

SCRIPTS: Final = ROOT / "scripts"
ARN: Final = f"arn:aws:apprunner:{REGION}:123456789012:service/nerava-backend/0123456789abcdef0123456789abcdef"
IMAGE: Final = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/nerava-backend:1.4.1"
SECRET: Final = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:hubspot-AbCdEf"
TOKEN: Final = "pat-na1-11111111-0123-4567-89ab-0123456789ab"
OLD_TOKEN: Final = "pat-na1-22222222-0123-4567-89ab-0123456789ab"
LIVE: Final = {
    "HUBSPOT_ENABLED": "true",
    "HUBSPOT_SEND_LIVE": "true",
    "HUBSPOT_PRIVATE_APP_TOKEN": TOKEN,
    "HUBSPOT_PORTAL_ID": "4242",
}
OTHERS: Final = {"DATABASE_URL": "postgresql://me:secret-of-the-database@db/nerava", "LOG_LEVEL": "info"}
OTHER_SECRETS: Final = {"STRIPE_KEY": f"arn:aws:ssm:{REGION}:123456789012:parameter/stripe"}

PROGRAM: Final = f"#!{sys.executable} -S\n{(ROOT / 'tests/foreign/aws/fake_aws.py').read_text()}"


def image_source(**variables: str) -> dict[str, Any]:
    return {
        "ImageRepository": {
            "ImageIdentifier": IMAGE,
            "ImageRepositoryType": "ECR",
            "ImageConfiguration": {
                "Port": "8000",
                "StartCommand": "serve",
                "RuntimeEnvironmentVariables": OTHERS | variables,
                "RuntimeEnvironmentSecrets": dict(OTHER_SECRETS),
            },
        },
        "AutoDeploymentsEnabled": False,
        "AuthenticationConfiguration": {"AccessRoleArn": "arn:aws:iam::123456789012:role/pulls"},
    }


def code_source(*, configured_by: str = "API", **variables: str) -> dict[str, Any]:
    values = {"Runtime": "PYTHON_311", "BuildCommand": "make", "Port": "8000", "RuntimeEnvironmentVariables": variables}
    configuration: dict[str, Any] = {"ConfigurationSource": configured_by}
    if configured_by == "API":
        configuration["CodeConfigurationValues"] = values
    return {
        "CodeRepository": {
            "RepositoryUrl": "https://example.com/nerava/backend",
            "SourceCodeVersion": {"Type": "BRANCH", "Value": "main"},
            "SourceDirectory": "/",
            "CodeConfiguration": configuration,
        },
        "AutoDeploymentsEnabled": True,
        "AuthenticationConfiguration": {"ConnectionArn": "arn:aws:apprunner:::connection/github"},
    }


@dataclass(frozen=True)
class Ran:
    """What a script left behind."""

    code: int
    output: str
    errors: str

    @property
    def all(self) -> str:
        return self.output + self.errors


class Runs(Protocol):
    """An account, in whose folder a script is run, and in the environment in which it finds that account."""

    folder: Path

    def environment(self, exported: dict[str, str]) -> dict[str, str]: ...


def run_script(
    command: Sequence[str | Path], account: Runs, exported: dict[str, str], answer: str, *, within_s: float
) -> Ran:
    """Run a script to its end; *answer* is typed into it."""
    done = subprocess.run(
        command,
        env=account.environment(exported),
        cwd=account.folder,
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class AppRunner:
    """An account with a service in it. What a test sets here is in force when `run` is called."""

    folder: Path
    source: dict[str, Any] = field(default_factory=image_source)
    status: str = "RUNNING"
    instance_role: str | None = "arn:aws:iam::123456789012:role/runs"
    names: list[str] = field(default_factory=lambda: ["other", "another", "nerava-backend"])
    # What an operation is from look to look. An empty one is not listed.
    play: list[str] = field(default_factory=lambda: ["", "SUCCEEDED"])
    health: list[tuple[int, str]] = field(default_factory=lambda: [(200, '{"status": "ok"}')])
    # What the CLI says instead of an answer, by command, call by call. An empty one lets a call through.
    failures: dict[str, list[str]] = field(default_factory=dict)
    changed_at_description: int = 0
    # What `aws configure` has stored.
    configured_region: str = ""
    programs: tuple[str, ...] = ("aws", "curl")
    shell: tuple[str, ...] = ()

    def run(self, script: str, *options: str, answer: str = "", **exported: str) -> Ran:
        """Run `scripts/SCRIPT.sh` with these variables exported, and no other that it reads."""
        return run_script([*self.shell, SCRIPTS / f"{script}.sh", *options], self, exported, answer, within_s=60)

    def environment(self, exported: dict[str, str]) -> dict[str, str]:
        """Write the state, and return the environment in which the scripts find the fakes."""
        instance = {"Cpu": "1024"} | ({"InstanceRoleArn": self.instance_role} if self.instance_role else {})
        service = {
            "ServiceArn": ARN,
            "ServiceName": "nerava-backend",
            "ServiceUrl": "abc.awsapprunner.example.com",
            "Status": self.status,
            "SourceConfiguration": self.source,
            "InstanceConfiguration": instance,
        }
        services = [
            {"ServiceName": name.removeprefix("-"), "Status": "DELETED" if name.startswith("-") else "RUNNING"}
            | {"ServiceArn": ARN if name == "nerava-backend" else f"{ARN}-{name}"}
            for name in self.names
        ]
        state = {
            "service": service,
            "services": services,
            "play": self.play,
            "statuses": self.play,
            "health": self.health,
            "failures": self.failures,
            "described": 0,
            "configured_region": self.configured_region,
            "changed_at_description": self.changed_at_description,
        }
        (self.folder / "state.json").write_text(json.dumps(state))
        (self.folder / "calls.jsonl").write_text("")
        path = self._programs()
        read = ("HUBSPOT_", "AWS_", "SERVICE_NAME")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(read)}
        ours = {"FAKE_AWS": str(self.folder), "TMPDIR": str(self.folder / "tmp"), "APP_RUNNER_POLL_S": "0.01"}
        return inherited | ours | {"AWS_REGION": REGION, "PATH": path} | exported

    def _programs(self) -> str:
        bin_folder, temporary = self.folder / "bin", self.folder / "tmp"
        for made in (bin_folder, temporary):
            made.mkdir(exist_ok=True)
        for name in self.programs:
            (bin_folder / name).write_text(PROGRAM)
            (bin_folder / name).chmod(0o755)
        if not (bin_folder / "python3").exists():
            (bin_folder / "python3").symlink_to(sys.executable)
        if len(self.programs) == 2:
            return f"{bin_folder}:{os.environ['PATH']}"
        # A machine without one of them has no other of that name either.
        for name in ("bash", "env", "dirname", "mktemp", "rm", "cat"):
            found = next(Path(folder) / name for folder in ("/bin", "/usr/bin") if (Path(folder) / name).exists())
            if not (bin_folder / name).exists():
                (bin_folder / name).symlink_to(found)
        return str(bin_folder)

    def calls(self, command: str = "") -> list[dict[str, Any]]:
        """Return what was called, in order: all, or the AWS CLI's *command*."""
        made = [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]
        return [call for call in made if not command or call.get("command") == command]

    @property
    def changed(self) -> list[str]:
        """The commands that changed something."""
        names = ("apprunner update-service", "apprunner start-deployment")
        return [call["command"].split()[1] for call in self.calls() if call.get("command") in names]

    @property
    def requested(self) -> dict[str, Any]:
        """The source configuration that the update asked for."""
        source: dict[str, Any] = self.calls("apprunner update-service")[-1]["request"]["SourceConfiguration"]
        return source
