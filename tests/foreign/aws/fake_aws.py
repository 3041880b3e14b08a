"""`aws` and `curl` as the scripts for App Runner see them: they keep a service in a file, and record each call.

Run by its name on PATH: see `tests/foreign/aws/app_runner.py`, which writes the state and reads the calls.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["FAKE_AWS"])
PAGE = 2
OPERATION = "3f0c3f1e-0000-4000-8000-000000000001"
# Of the shapes of App Runner's API, what the scripts send. The AWS CLI refuses names that it does not know.
VALUES = {"RuntimeEnvironmentVariables": None, "RuntimeEnvironmentSecrets": None, "Port": None, "StartCommand": None}
KNOWN: dict[str, Any] = {
    "ServiceArn": None,
    "SourceConfiguration": {
        "AutoDeploymentsEnabled": None,
        "AuthenticationConfiguration": {"ConnectionArn": None, "AccessRoleArn": None},
        "ImageRepository": {"ImageIdentifier": None, "ImageRepositoryType": None, "ImageConfiguration": VALUES},
        "CodeRepository": {
            "RepositoryUrl": None,
            "SourceCodeVersion": {"Type": None, "Value": None},
            "SourceDirectory": None,
            "CodeConfiguration": {
                "ConfigurationSource": None,
                "CodeConfigurationValues": {**VALUES, "Runtime": None, "BuildCommand": None},
            },
        },
    },
}


def aws(state: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
    options = dict(zip(arguments[0::2], arguments[1::2], strict=False))
    match state["command"]:
        case "sts get-caller-identity":
            return {"Account": "123456789012"}
        case "apprunner list-services":
            begin = int(options.get("--next-token", 0))
            page = {"ServiceSummaryList": state["services"][begin : begin + PAGE]}
            more = begin + PAGE < len(state["services"])
            return page | ({"NextToken": str(begin + PAGE)} if more else {})
        case "apprunner describe-service":
            state["described"] += 1
            if state["described"] == state["changed_at_description"]:
                state["service"]["InstanceConfiguration"]["Cpu"] = "2048"
            return {"Service": state["service"]}
        case "apprunner update-service":
            request = json.loads(Path(options["--cli-input-json"].removeprefix("file://")).read_text())
            refuse_unknown(request, KNOWN)
            state["service"]["SourceConfiguration"] = request["SourceConfiguration"]
            return begin_operation(state) | {"Service": state["service"]}
        case "apprunner start-deployment":
            return begin_operation(state)
        case "apprunner list-operations":
            status = state["statuses"].pop(0) if len(state["statuses"]) > 1 else state["statuses"][0]
            if status == "SUCCEEDED":
                state["service"]["Status"] = "RUNNING"
                state["statuses"] = list(state["play"])
            # Another operation is listed beside it, and at first it alone.
            listed = [{"Id": "another", "Status": "FAILED"}]
            return {"OperationSummaryList": listed + ([{"Id": OPERATION, "Status": status}] if status else [])}
    raise SystemExit(f"aws: error: {state['command']}: not known")


def begin_operation(state: dict[str, Any]) -> dict[str, Any]:
    state["service"]["Status"] = "OPERATION_IN_PROGRESS"
    return {"OperationId": OPERATION}


def refuse_unknown(request: dict[str, Any], known: dict[str, Any]) -> None:
    for name, value in request.items():
        if name not in known:
            raise SystemExit(f"Unknown parameter in input: {name!r}")
        if known[name] is not None:
            refuse_unknown(value, known[name])


def main() -> int:
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    state = json.loads((FOLDER / "state.json").read_text())
    record = {"program": program, "arguments": arguments}
    if arguments == ["configure", "get", "region"]:
        print(state["configured_region"])
        return 0 if state["configured_region"] else 1
    if program == "aws":
        command = " ".join(arguments[4:6])
        assert arguments[0:4:2] == ["--region", "--output"]
        state["command"] = record["command"] = command
        record |= sent(arguments)
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(record) + "\n")
    if program == "curl":
        return curl(state, arguments)
    failures = state["failures"].get(state["command"], [])
    failure = failures.pop(0) if failures else None
    answer = {} if failure else aws(state, arguments[6:])
    (FOLDER / "state.json").write_text(json.dumps(state))
    if failure:
        print(failure, file=sys.stderr)
        return 254
    print(json.dumps(answer))
    return 0


def sent(arguments: list[str]) -> dict[str, Any]:
    """Return what else is to be seen of a call: the request's file, and who may read it."""
    file = next((Path(word.removeprefix("file://")) for word in arguments if word.startswith("file://")), None)
    if file is None:
        return {}
    modes = [oct(path.stat().st_mode & 0o777) for path in (file, file.parent)]
    return {"request": json.loads(file.read_text()), "modes": modes, "folder": str(file.parent)}


def curl(state: dict[str, Any], arguments: list[str]) -> int:
    code, body = state["health"].pop(0) if len(state["health"]) > 1 else state["health"][0]
    (FOLDER / "state.json").write_text(json.dumps(state))
    if code == 0:
        print("curl: (7) Failed to connect", file=sys.stderr)
        print("000", end="")
        return 7
    Path(arguments[arguments.index("--output") + 1]).write_text(body)
    print(code, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
