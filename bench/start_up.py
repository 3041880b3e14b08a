"""The start-up cost of commands, compared with importing three libraries that all of them use."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

TIMES: Final = 9
BESIDE: Final = ("-c", "import pydantic, httpx, aiokafka")
# Commands that need settings end with an error about them, after all imports.
COMMANDS: Final = (
    "producer --help",
    "hubspot_consumer --help",
    "console --help",
    "hubspot_consumer pause --note why",
    "hubspot_consumer worker",
    "hubspot_consumer doctor --help",
    "producer serve",
    "console serve",
)


def start_up() -> list[Mapping[str, Any]]:
    """Measure each command alternately with the imports, so that other load on the machine affects both alike."""
    found: list[Mapping[str, Any]] = []
    for command in COMMANDS:
        pairs = [(_cpu_s(("-m", *command.split())), _cpu_s(BESIDE)) for _ in range(TIMES)]
        ours, beside = median(ours for ours, _ in pairs), median(beside for _, beside in pairs)
        found.append({"command": command, "CPU ms": round(1000 * ours), "of the imports": round(ours / beside, 2)})
    return found


def _cpu_s(arguments: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(  # noqa: S603 - our own
        [sys.executable, *arguments], env={**os.environ, "LOG_LEVEL": "none"}, capture_output=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
