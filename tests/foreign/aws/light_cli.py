"""`aws` for scripts/deploy_ecs.sh, in a fifth of the time: it sends what the AWS CLI would send, and prints its answer.

Run by its name on PATH. Some tests run the AWS CLI itself in its place, and find the same.
"""

import json
import os
import re
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

LISTS = {"--services", "--tasks", "--include"}
# The CLI's own, which no service knows.
OF_THE_CLI = {"--max-items"}


def request(arguments: list[str]) -> dict[str, Any]:
    """Return the operation's input."""
    sent: dict[str, Any] = {}
    while arguments:
        option = arguments.pop(0)
        values = []
        while arguments and not arguments[0].startswith("--"):
            values.append(arguments.pop(0))
        if option == "--cli-input-json":
            sent |= json.loads(Path(values[0].removeprefix("file://")).read_text())
        elif option not in OF_THE_CLI:
            sent[camel(option.removeprefix("--"))] = values if option in LISTS else values[0]
    return sent


def camel(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(map(str.capitalize, others))


def call(service: str, command: str, arguments: list[str]) -> int:
    operation = camel(f"-{command}")
    connection = HTTPConnection(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"))
    if service == "sts":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"Action={operation}&Version=2011-06-15"
    else:
        headers = {"X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}"}
        headers["Content-Type"] = "application/x-amz-json-1.1"
        body = json.dumps(request(arguments))
    region = os.environ.get("AWS_REGION") or configured_region()
    credential = f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request"
    connection.request("POST", "/", body, headers | {"Authorization": credential})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        code, message = (json.loads(text)[name] for name in ("__type", "message"))
        print(f"\nAn error occurred ({code}) when calling the {operation} operation: {message}", file=sys.stderr)
        return 254
    print(json.dumps({"Account": re.findall(r"<Account>(\d+)", text)[0]}) if service == "sts" else text)
    return 0


def configured_region() -> str:
    found = re.search(r"region = (.*)", Path(os.environ["AWS_CONFIG_FILE"]).read_text())
    return found[1] if found else ""


def main() -> int:
    if sys.argv[1:] == ["configure", "get", "region"]:
        print(configured_region())
        return 0 if configured_region() else 1
    # Behind --region REGION --output json.
    service, command, *arguments = sys.argv[5:]
    return call(service, command, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
