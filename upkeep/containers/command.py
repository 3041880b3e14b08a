"""`python -m upkeep containers`: runs the tests that need a Docker engine."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.commands import FAILED
from upkeep.containers.engine import EngineUnavailable, running_engine
from upkeep.containers.standins import make_missing

ROOT: Final = Path(__file__).parents[2]
FILES: Final = (ROOT / "docker-compose.yml", *sorted((ROOT / "docker").glob("*.Dockerfile")))
# What starts Kafka Connect takes long, and gains nothing.
ON_CONTAINERS: Final = ["tests/integration", "-m", "servers and not slow and not chaos"]
# As many processes as `make test` has where there are two cores.
SIDE_BY_SIDE: Final = ["--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
# The tests of the containers, and those of the integration folder with the servers of `testcontainers`.
PARTS: Final[Mapping[str, tuple[list[str], dict[str, str]]]] = {
    "containers": (["tests/containers", "-m", "containers and not chaos"], {}),
    "integration": ([*ON_CONTAINERS, *SIDE_BY_SIDE], {"NERAVA_TEST_STACK": "testcontainers"}),
    "long": (["tests/containers", "-m", "containers"], {}),
}
NOT_RUN: Final = 3


def containers(
    parts: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(PARTS)}; all but the last by default.")] = None,
) -> None:
    """Build the images, start docker-compose.yml, and run the tests of the containers.

    Uses the engine that runs; as root on Debian, it installs and starts one, and stops it at the end. Images that no
    registry provides are stood in for. Exits with 1 if a test fails, with 3 where there is no engine.
    """
    try:
        with running_engine():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
            outcomes = [_timed("images", _provide_images)]
            outcomes += [_timed(part, partial(_tests_pass, part)) for part in parts or ("containers", "integration")]
    except EngineUnavailable as reason:
        print(f"NOT RUN in containers: {reason}")
        raise SystemExit(NOT_RUN) from None
    raise SystemExit(0 if all(outcomes) else FAILED)


def _timed(part: str, does: Callable[[], bool]) -> bool:
    begin = time.monotonic()
    passed = does()
    print(f"{part}: {'passed' if passed else 'FAILED'} in {time.monotonic() - begin:.0f} s", flush=True)
    return passed


def _provide_images() -> bool:
    text = "\n".join(path.read_text() for path in FILES)
    named = re.findall(r"^ +image: (\S+:\S+)$|^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    make_missing(sorted({image or python for image, python in named}))
    # Those of all profiles, so that no test waits for them.
    command = ["docker", "compose", "--profile", "*", "build", "--quiet"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _tests_pass(part: str) -> bool:
    arguments, variables = PARTS[part]
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=False).returncode == 0
