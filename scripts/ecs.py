"""What the script for Amazon ECS reads from the AWS CLI's JSON, and the requests that it makes of it.

`ecs.py COMMAND ARGUMENTS`, for deploy_ecs.sh alone. Here, and not in bash, are the values of variables looked at: bash
never expands them, so that not even `bash -x` shows them.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Final, Iterator, NoReturn

from aws_json import difference, get, harmless, image_of, print_without, read, refuse, stop
from hubspot_environment import Environment

# What describe-task-definition tells, and register-task-definition does not take.
TOLD: Final = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)
PLACEHOLDER: Final = re.compile(r"<[a-z-]+>")
# As many as the deployment circuit breaker of ECS waits for at least.
FAILED_TASKS: Final = 3


def check(image: str, file: str) -> None:
    """Exit with 2 where what to deploy is missing or wrong."""
    if not image and not file:
        refuse("--image: of which image? (Or --definition, for other settings)")
    if image:
        image_of(image)
    if file:
        _definition_in(file)


def find(description: str) -> None:
    """Print the ARN of the service; nothing where there is none. One that was deleted is described for a while."""
    for service in read(description)["services"]:
        if service["status"] != "INACTIVE":
            print(service["serviceArn"])


def plan(definition: str, request: str, service: str, image: str, file: str) -> None:
    """Print what would change. Where something does, write the input of register-task-definition into *request*."""
    before = _input_of(definition)
    after: dict[str, Any] = _definition_in(file) if file else json.loads(json.dumps(before))
    if after.get("family") != before["family"]:
        refuse(f"--definition: its family is {after.get('family')}, and the service's is {before['family']}")
    old, new = _container(before, service, stop), _container(after, service, refuse)
    if not new.get("healthCheck"):
        stop("the task definition has no healthCheck, and without one nobody can tell whether a new task is well")
    new["image"] = image or old["image"]
    lines = [
        difference("image", old["image"], new["image"], same=old["image"] == new["image"]),
        *_changes(_others(before, service), _others(after, service)),
        *_environment_changes(_environment(old), _environment(new)),
    ]
    print("\n".join(lines))
    if any(line.startswith("*") for line in lines):
        Path(request).write_text(json.dumps(after))


def ready(description: str) -> None:
    """Exit with 5 where the service is not one to be deployed now, and by us."""
    service = _service(description)
    controller = service.get("deploymentController", {}).get("type", "ECS")
    strategy = service.get("deploymentConfiguration", {}).get("strategy", "ROLLING")
    if controller != "ECS" or strategy != "ROLLING":
        stop(f"the service is deployed by {controller}, {strategy}: this script knows rolling deployments by ECS alone")
    if service["status"] != "ACTIVE":
        stop(f"the service is {service['status']}, and only one that is ACTIVE can be deployed")
    if len(service["deployments"]) > 1:
        stop("a deployment of the service is under way: try again when it is over")


def unchanged(before: str, after: str) -> None:
    """Exit with 5 unless both descriptions are of the same deployment."""
    if _deployed(_service(before)) != _deployed(_service(after)):
        stop("somebody changed the service meanwhile: nothing was done; run this again")


def task_input(description: str, request: str, revision: str, container: str, command: str) -> None:
    """Write the input of run-task into *request*: one task with another command, where the service's tasks run."""
    service = _service(description)
    where = ("launchType", "capacityProviderStrategy", "platformVersion", "networkConfiguration")
    task = {name: service[name] for name in where if service.get(name)}
    task.update(cluster=service["clusterArn"], taskDefinition=revision, startedBy="deploy_ecs.sh")
    task["overrides"] = {"containerOverrides": [{"name": container, "command": [command]}]}
    Path(request).write_text(json.dumps(task))


def ended(tasks: str, container: str) -> None:
    """Print how a one-off task ended; exit with 1 unless it was with 0."""
    task = read(tasks)["tasks"][0]
    code = next((found.get("exitCode") for found in task["containers"] if found["name"] == container), None)
    print(task.get("stoppedReason") or "no reason given" if code is None else f"exit code {code}")
    if code != 0:
        raise SystemExit(1)


def rollout(description: str, revision: str) -> None:
    """Print the state of the deployment of *revision*, or REPLACED where another one has taken its place."""
    deployments = sorted(_service(description)["deployments"], key=lambda found: bool(found["status"] != "PRIMARY"))
    ours = next((found for found in deployments if found["taskDefinition"] == revision), None)
    state = ours.get("rolloutState") if ours else None
    if ours and (state == "FAILED" or ours.get("failedTasks", 0) >= FAILED_TASKS):
        print("FAILED")
    elif ours is None or ours["status"] != "PRIMARY":
        print("REPLACED")
    else:
        print(state)


def task_arns(listed: str) -> None:
    """Print the tasks' ARNs, one a line."""
    print("\n".join(read(listed)["taskArns"]))


def unhealthy(tasks: str, service: str, revision: str) -> None:
    """Print UNHEALTHY if one of the service's tasks of *revision* is."""
    if "UNHEALTHY" in (task.get("healthStatus") for task in _tasks(tasks, service, revision)):
        print("UNHEALTHY")


def healthy(tasks: str, description: str, revision: str) -> None:
    """Print how many of the tasks that should run are healthy; exit with 1 where one is not."""
    service = _service(description)
    wanted = service["desiredCount"]
    found = [task.get("healthStatus") for task in _tasks(tasks, service["serviceName"], revision)]
    print(f"{found.count('HEALTHY')} of {wanted} tasks are healthy")
    if found.count("HEALTHY") < wanted:
        raise SystemExit(1)


def hide(file: str, description: str) -> None:
    """Print *file* without the values of variables that are known: those of the JSON files beside *description*."""
    values = set()
    for known in Path(description).parent.glob("*.json"):
        # A file that an answer did not get into holds no JSON.
        with suppress(ValueError):
            values |= set(_values(json.loads(known.read_text())))
    # A shorter one is a word of the message, sooner than a secret.
    print_without((value for value in values if len(value) >= 4 and not harmless(value)), file)


def _definition_in(file: str) -> dict[str, Any]:
    try:
        text = Path(file).read_text()
        content: dict[str, Any] = json.loads(text)
    except (OSError, ValueError) as error:
        refuse(f"--definition: {file} can't be read as JSON ({type(error).__name__})")
    left = sorted(set(PLACEHOLDER.findall(text)) - {"<tag>"})
    if left:
        refuse(f"--definition: {file} still has {', '.join(left)}: put your own values there")
    return content


def _input_of(definition: str) -> dict[str, Any]:
    """Return what register-task-definition would take to make the same revision again."""
    answer = read(definition)
    again = {name: value for name, value in answer["taskDefinition"].items() if name not in TOLD}
    if answer.get("tags"):
        again["tags"] = answer["tags"]
    return again


def _container(definition: dict[str, Any], name: str, say_no: Callable[[str], NoReturn]) -> dict[str, Any]:
    found: list[dict[str, Any]] = [one for one in definition.get("containerDefinitions", ()) if one["name"] == name]
    return found[0] if found else say_no(f"the task definition has no container {name}")


def _service(description: str) -> dict[str, Any]:
    service: dict[str, Any] = read(description)["services"][0]
    return service


def _deployed(service: dict[str, Any]) -> list[Any]:
    deployments = [(found["id"], found["taskDefinition"]) for found in service["deployments"]]
    return [service["status"], service["taskDefinition"], service.get("networkConfiguration"), deployments]


def _tasks(tasks: str, service: str, revision: str) -> list[dict[str, Any]]:
    return [
        task
        for task in read(tasks)["tasks"]
        if task["taskDefinitionArn"] == revision and task.get("group") == f"service:{service}"
    ]


def _environment(container: dict[str, Any]) -> Environment:
    return Environment(
        {
            "RuntimeEnvironmentVariables": {one["name"]: one["value"] for one in container.get("environment", ())},
            "RuntimeEnvironmentSecrets": {one["name"]: one["valueFrom"] for one in container.get("secrets", ())},
        }
    )


def _environment_changes(before: Environment, after: Environment) -> list[str]:
    maps = (before.variables, before.secrets, after.variables, after.secrets)
    changed = [name for name in sorted({name for names in maps for name in names}) if not after.same(name, before)]
    variables, secrets = (len(names.keys() - set(changed)) for names in (after.variables, after.secrets))
    return [
        *(difference(name, before.shown(name), after.shown(name), same=False) for name in changed),
        f"  other variables: {variables}, other secrets: {secrets}, left as they are",
    ]


def _others(definition: dict[str, Any], service: str) -> dict[str, Any]:
    """Return *definition* by names, so that no order counts, without what is shown of the service's own container."""
    containers = {one["name"]: dict(one) for one in definition["containerDefinitions"]}
    for name, container in containers.items():
        for variables in ("environment", "secrets"):
            container[variables] = {one["name"]: one for one in container.get(variables, ()) if name != service}
    containers[service]["image"] = None
    return {**definition, "containerDefinitions": containers}


def _changes(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield a line for whatever else differs. ECS tells more than it was told: what is empty there is as if missing."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*after, *(name for name in before if name not in after and before[name])]:
            yield from _changes(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after)):
            yield from _changes(one, other, f"{path}.{number}")
    elif before != after and (before or after):
        yield difference(path.replace("containerDefinitions.", ""), _shown(before), _shown(after), same=False)


def _shown(value: Any) -> str:
    if value is None:
        return "(not set)"
    return str(value) if harmless(str(value)) else "(another value)"


def _values(content: object) -> Iterator[str]:
    """Yield the value of every plain variable anywhere in *content*."""
    if isinstance(content, list):
        for inner in content:
            yield from _values(inner)
    elif isinstance(content, dict):
        for name, inner in content.items():
            if name == "environment":
                yield from (one["value"] for one in inner if one.get("value"))
            else:
                yield from _values(inner)


COMMANDS: Final = {
    command.__name__: command
    for command in (
        check,
        ended,
        find,
        get,
        healthy,
        hide,
        plan,
        ready,
        rollout,
        task_arns,
        task_input,
        unchanged,
        unhealthy,
    )
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
