"""What the scripts for AWS App Runner read from the AWS CLI's JSON, and the request that they make of it.

`app_runner.py COMMAND ARGUMENTS`, for app_runner.sh alone. Here, and not in bash, is the token looked at: bash never
expands it, so that not even `bash -x` shows it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aws_json import difference, get, image_of, print_without, read, refuse, stop
from hubspot_environment import NAMES, SECRET_ARN, TOKEN, Environment, exported, merge

CONFIGURATION: Final = ("ServiceArn", "SourceConfiguration", "InstanceConfiguration")


def check(needed: str) -> None:
    """Exit with 2 where what is exported is wrong or, if it is *needed*, where nothing is."""
    if not exported() and needed == "needed":
        refuse(f"nothing to set: export one or more of {', '.join((*NAMES, SECRET_ARN))}")


def find(page: str, name: str) -> None:
    """Print the ARN of the service of that name, if it is on the page. One that was deleted is listed for a while."""
    for summary in read(page)["ServiceSummaryList"]:
        if summary["ServiceName"] == name and summary["Status"] != "DELETED":
            print(summary["ServiceArn"])


def operation(file: str, operation_id: str) -> None:
    """Print the status of an operation; nothing while App Runner does not list it."""
    for summary in read(file)["OperationSummaryList"]:
        if summary["Id"] == operation_id:
            print(summary["Status"])


def plan(description: str, request: str, image: str) -> None:
    """Print what would change. Where something does, write the input of `update-service` into *request*."""
    service, values, lines = read(description)["Service"], exported(), []
    source = json.loads(json.dumps(service["SourceConfiguration"]))
    if image:
        lines.append(_change_image(source, image))
    if values:
        lines += _change_environment(
            source, values, has_role=bool(service["InstanceConfiguration"].get("InstanceRoleArn"))
        )
    if lines:
        print("\n".join(lines))
    if source != service["SourceConfiguration"]:
        Path(request).write_text(json.dumps({"ServiceArn": service["ServiceArn"], "SourceConfiguration": source}))


def unchanged(before: str, after: str) -> None:
    """Exit with 5 unless both descriptions have the same configuration."""
    if [read(before)["Service"].get(key) for key in CONFIGURATION] != [
        read(after)["Service"].get(key) for key in CONFIGURATION
    ]:
        stop("somebody changed the service meanwhile: nothing was done; run this again")


def hide(file: str, description: str) -> None:
    """Print *file* without the tokens that are known: the exported one, and the one in the service."""
    tokens = {os.environ.get(TOKEN, "")}
    # Where describing is what failed, there is none.
    with suppress(OSError, ValueError):
        tokens |= set(_tokens_in(json.loads(Path(description).read_text())))
    print_without(tokens, file)


def _change_image(source: dict[str, Any], image: str) -> str:
    repository = source.get("ImageRepository")
    if repository is None:
        refuse("--image: the service is built from a code repository, not from an image")
    kind = "ECR_PUBLIC" if image_of(image)["registry"] == "public.ecr.aws" else "ECR"
    if repository["ImageRepositoryType"] != kind:
        refuse(f"--image: the service takes images of {repository['ImageRepositoryType']}, and this one is of {kind}")
    before, repository["ImageIdentifier"] = repository["ImageIdentifier"], image
    return difference("image", before, image, same=before == image)


def _change_environment(source: dict[str, Any], values: dict[str, str], *, has_role: bool) -> list[str]:
    configuration = _runtime_configuration(source)
    before, after = Environment(configuration), Environment(configuration)
    merge(values, after, has_role=has_role)
    after.put(configuration)
    variables, secrets = (len(names.keys() - set(NAMES)) for names in (after.variables, after.secrets))
    return [
        *(difference(name, before.shown(name), after.shown(name), same=after.same(name, before)) for name in NAMES),
        f"  other variables: {variables}, other secrets: {secrets}, left as they are",
    ]


def _runtime_configuration(source: dict[str, Any]) -> dict[str, Any]:
    """Return the part of *source* that holds the environment, to be changed in place."""
    if "ImageRepository" in source:
        image: dict[str, Any] = source["ImageRepository"].setdefault("ImageConfiguration", {})
        return image
    code = source["CodeRepository"].get("CodeConfiguration", {})
    if code.get("ConfigurationSource") != "API":
        stop(
            "the service reads its configuration from apprunner.yaml in its repository: set the variables there, or"
            " let App Runner keep its configuration (ConfigurationSource=API)"
        )
    values: dict[str, Any] = code["CodeConfigurationValues"]
    return values


def _tokens_in(value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    here = [value[TOKEN]] if isinstance(value.get(TOKEN), str) else []
    return here + [token for inner in value.values() for token in _tokens_in(inner)]


COMMANDS: Final = {command.__name__: command for command in (check, find, get, operation, plan, unchanged, hide)}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
