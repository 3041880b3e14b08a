"""A cluster on Amazon ECS, for the script that deploys there: moto in AWS's place, and the AWS CLI or a lighter one.

moto keeps what it is told, and starts nothing: a service's deployments and tasks stay as they were. `Account` moves
them on as ECS would, a step for each look at the service. moto writes every answer by botocore's model of the API.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import boto3
from moto.ecs.models import ecs_backends
from moto.moto_api import state_manager
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.foreign.aws.app_runner import SCRIPTS, Ran, run_script
from tests.foreign.aws.definitions import NUMBER, REGION, ROOT, definition

CLUSTER: Final = "nerava"


class Look(NamedTuple):
    """What a look at a deployment shows: its state, how many of its tasks failed, and how its tasks are."""

    state: str = "IN_PROGRESS"
    failed: int = 0
    health: str = "UNKNOWN"


GOOD: Final = [Look(), Look("COMPLETED", health="HEALTHY")]


@dataclass
class Account:
    """An account with a service in a cluster. What a test sets here is in force from the next call on."""

    folder: Path
    url: str = ""
    # What each look at the deployment of an image shows; the last one stays. Of other images it is GOOD.
    plays: dict[str, list[Look]] = field(default_factory=dict)
    # Whether the service goes back by itself when a deployment has failed.
    circuit_breaker: bool = False
    # How one-off tasks end, by their command.
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    endless: set[str] = field(default_factory=set)
    # What AWS answers instead, by operation, call by call: a code and a message. An empty one lets a call through.
    failures: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    # What happens before the service is described for the nth time.
    meanwhile: dict[int, Callable[[], None]] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    shell: tuple[str, ...] = ()
    # Whether the AWS CLI itself is called. The lighter one takes a fifth of its time.
    real_cli: bool = False
    configured_region: str = ""
    _play: dict[str, list[Look]] = field(default_factory=dict)

    @property
    def backend(self) -> Any:
        return ecs_backends[NUMBER][REGION]

    @property
    def service(self) -> Any:
        (found,) = self.backend.services.values()
        return found

    @property
    def ecs(self) -> Any:
        return self.client("ecs")

    def client(self, name: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(name, region_name=REGION, endpoint_url=self.url, **keys)

    def network(self) -> tuple[str, str]:
        """Return a subnet and a security group."""
        ec2 = self.client("ec2")
        return ec2.describe_subnets()["Subnets"][0]["SubnetId"], ec2.describe_security_groups()["SecurityGroups"][0][
            "GroupId"
        ]

    def create(self, service: str, registered: dict[str, Any] | None = None, *, count: int = 2) -> None:
        """Make the cluster and the service in it, as docs/ecs.md does."""
        subnet, group = self.network()
        self.ecs.create_cluster(clusterName=CLUSTER)
        self.ecs.register_task_definition(**(registered or definition(service)))
        self.ecs.create_service(
            cluster=CLUSTER,
            serviceName=f"nerava-{service}",
            taskDefinition=f"nerava-{service}",
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group], "assignPublicIp": "DISABLED"}
            },
        )
        self.calls.clear()

    def run(self, *options: str, answer: str = "", **exported: str) -> Ran:
        return run_script([*self.shell, SCRIPTS / "deploy_ecs.sh", *options], self, exported, answer, within_s=500)

    def environment(self, exported: dict[str, str]) -> dict[str, str]:
        (self.folder / "tmp").mkdir(exist_ok=True)
        programs = Path(sys.executable).parent
        if not self.real_cli:
            programs = self.folder / "bin"
            programs.mkdir(exist_ok=True)
            (programs / "aws").write_text(_LIGHT_CLI)
            (programs / "aws").chmod(0o755)
        (self.folder / "config").write_text(f"[default]\nregion = {self.configured_region}\n")
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ECS_", "SERVICE_"))
        }
        ours = {
            "AWS_CONFIG_FILE": str(self.folder / "config"),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "ECS_POLL_S": "0.01",
            "TMPDIR": str(self.folder / "tmp"),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        return inherited | ours | exported

    def sent(self, operation: str) -> list[Any]:
        """Return what AWS was sent for *operation*, call by call."""
        return [body for called, body in self.calls if called == operation]

    @property
    def changed(self) -> list[str]:
        """The operations that changed something."""
        return [called for called, _ in self.calls if called.startswith(("Register", "Run", "Update", "Create", "Put"))]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        operation, sent = _read(environ, body)
        self.calls.append((operation, sent))
        failures = self.failures.get(operation, [])
        if failures and (failure := failures.pop(0))[0]:
            start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"__type": failure[0], "message": failure[1]}).encode()]
        if operation == "DescribeServices":
            self.meanwhile.pop(len(self.sent(operation)), lambda: None)()
            self._move_on(f"{CLUSTER}:{sent['services'][0]}")
        answer: list[bytes] = list(_MOTO(environ | {"wsgi.input": BytesIO(body)}, start_response))
        self.answers.append((operation, b"".join(answer)))
        if operation == "RunTask":
            self._end_tasks()
        return answer

    def _move_on(self, name: str) -> None:
        """Do what ECS does between two looks at a service."""
        if name not in self.backend.services:
            return
        service = self.backend.services[name]
        primary = service.deployments[0]
        if service.task_definition != primary["taskDefinition"]:
            primary = self._begin(service, primary)
        play = self._play.setdefault(service.name, GOOD[-1:])
        look = play.pop(0) if len(play) > 1 else play[0]
        primary.update(rolloutState=look.state, failedTasks=look.failed)
        self._have_tasks(service, primary, look)
        if look.state == "COMPLETED":
            service.deployments = [primary]
        elif look.state == "FAILED" and self.circuit_breaker:
            service.task_definition = service.deployments[1]["taskDefinition"]
            self._begin(service, primary)

    def _begin(self, service: Any, before: dict[str, Any]) -> dict[str, Any]:
        new = before | {"taskDefinition": service.task_definition, "rolloutState": "IN_PROGRESS", "failedTasks": 0}
        new["id"] = f"ecs-svc/{int(before['id'].rpartition('/')[2]) + 1}"
        before["status"] = "ACTIVE"
        service.deployments.insert(0, new)
        deployed = self.backend.describe_task_definition(service.task_definition).container_definitions[0]["image"]
        self._play[service.name] = list(self.plays.get(deployed, GOOD))
        return new

    def _have_tasks(self, service: Any, deployment: dict[str, Any], look: Look) -> None:
        mine = self.backend.tasks.setdefault(CLUSTER, {})
        if not any(task.started_by == deployment["id"] for task in mine.values()):
            for task in self.backend.run_task(
                CLUSTER,
                deployment["taskDefinition"],
                service.desired_count,
                overrides=None,
                started_by=deployment["id"],
                tags=None,
                launch_type="FARGATE",
                networking_configuration=service.network_configuration,
                group=f"service:{service.name}",
            ):
                # moto would end every task after some looks at it.
                task._transitions = []
        for arn, task in list(mine.items()):
            if task.started_by == deployment["id"]:
                task.health_status = task.containers[0].health_status = look.health
            elif look.state == "COMPLETED" and task.group == f"service:{service.name}":
                del mine[arn]

    def _end_tasks(self) -> None:
        for task in self.backend.tasks.get(CLUSTER, {}).values():
            if task.group.startswith("family:"):
                command = task.overrides["containerOverrides"][0]["command"][0]
                task._transitions = [] if command in self.endless else [("RUNNING", "STOPPED")]
                (container,) = task.containers
                container.exitCode = container.exit_code = self.exit_codes.get(command, 0)
                if container.exit_code is None:
                    task.stopped_reason = "CannotPullContainerError: not found"


def _read(environ: dict[str, Any], body: bytes) -> tuple[str, Any]:
    """Return the operation that is called, and what is sent for it."""
    target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if target:
        return target, json.loads(body or b"{}")
    query = parse_qs(body.decode(errors="replace"))
    return query.get("Action", [""])[0], query


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def running(account: Account) -> Iterator[Account]:
    """Serve the account on a port of this machine, with nothing in it."""
    moto_api_backend.reset()
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1})
    # moto adds up what containers are given each, and on Fargate none need be given anything.
    vars(account.backend)["_calculate_task_resource_requirements"] = lambda _: {}
    server: BaseWSGIServer = make_server("127.0.0.1", 0, account, threaded=True, request_handler=_Quiet)
    account.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_LIGHT_CLI: Final = f"#!{sys.executable} -S\n{(ROOT / 'tests/foreign/aws/light_cli.py').read_text()}"
_MOTO: Final = DomainDispatcherApplication(create_backend_app)
