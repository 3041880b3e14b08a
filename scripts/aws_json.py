"""What the scripts for AWS have in common: they read the AWS CLI's JSON, show a change, hide secrets, and say no.

Exit codes are those of the scripts: 2 where something was asked for wrongly, 5 where the service can't be updated.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final, Iterable, NoReturn

IMAGE: Final = re.compile(
    r"(?P<registry>\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com|public\.ecr\.aws)"
    r"/[a-z0-9._/-]+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?"
)
# What pydantic, and so our services, take for a truth value.
YES: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
NO: Final = frozenset({"0", "false", "f", "no", "n", "off"})
HIDDEN: Final = "********"


def read(file: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(Path(file).read_text())
    except ValueError:
        stop("the AWS CLI answered with something that is no JSON")
    return content


def get(file: str, path: str) -> None:
    """Print what stands at a path of names, or numbers, with dots between; nothing where there is nothing."""
    value: Any = read(file)
    for name in path.split("."):
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    if value is not None:
        print(value)


def image_of(image: str) -> re.Match[str]:
    found = IMAGE.fullmatch(image)
    if not found:
        refuse("--image: should be 123456789012.dkr.ecr.REGION.amazonaws.com/NAME:TAG, or public.ecr.aws/…")
    return found


def difference(name: str, before: str, after: str, *, same: bool) -> str:
    return f"  {name:<25} {before}" if same else f"* {name:<25} {before} -> {after}"


def harmless(value: str) -> bool:
    """Return whether anybody may see a variable's value: a number and a switch are no secret."""
    return value.isdigit() or value.lower() in YES | NO


def hidden(value: str) -> str:
    return f"{HIDDEN} ({len(value)} characters)"


def print_without(secrets: Iterable[str], file: str) -> None:
    """Print *file* without the secrets."""
    text = Path(file).read_text(errors="replace")
    for secret in sorted(set(secrets) - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    print(text.strip())


def refuse(words: str) -> NoReturn:
    """Exit with 2: what was asked for, or is exported, is wrong."""
    print(words, file=sys.stderr)
    raise SystemExit(2)


def stop(words: str) -> NoReturn:
    """Exit with 5: the service can't be updated like this."""
    print(words, file=sys.stderr)
    raise SystemExit(5)
