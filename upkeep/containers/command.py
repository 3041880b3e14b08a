"""`python -m upkeep containers`: runs the tests that need a Docker engine."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.commands import FAILED, refuse
from sandbox.java import JarsUnavailable
from upkeep.containers.engine import EngineUnavailable, running_engine
from upkeep.containers.standins import make_missing

ROOT: Final = Path(__file__).parents[2]
# Of the tests' own containers.
PROJECT: Final = "nerava-test"
# A docker-compose.override.yml, which may lead to a portal, is never read.
OF_THE_FILE: Final = ("--file", "docker-compose.yml")
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
ENDS_WITHIN_S: Final = 90


def containers(
    parts: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(PARTS)}; all but the last by default.")] = None,
) -> None:
    """Build the images, start docker-compose.yml, and run the tests of the containers.

    Uses the engine that runs; as root on Debian, it installs and starts one, and stops it at the end. Images that no
    registry provides are stood in for. Exits with 1 if a test fails, with 3 where there is no engine.
    """
    wanted = parts or ["containers", "integration"]
    if unknown := sorted({*wanted} - {*PARTS}):
        refuse(f"{', '.join(unknown)}: should be {', '.join(PARTS)}")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        with running_engine() as ours, _images(kept=ours) as built:
            outcomes = [built, *[_timed(part, partial(_tests_pass, part)) for part in wanted]]
    except (EngineUnavailable, JarsUnavailable) as reason:
        print(f"NOT RUN in containers: {reason}")
        raise SystemExit(NOT_RUN) from None
    raise SystemExit(0 if all(outcomes) else FAILED)


def _timed(part: str, does: Callable[[], bool]) -> bool:
    begin = time.monotonic()
    passed = does()
    print(f"{part}: {'passed' if passed else 'FAILED'} in {time.monotonic() - begin:.0f} s", flush=True)
    return passed


@contextmanager
def _images(*, kept: bool) -> Iterator[bool]:
    """Provide the images, and say whether they could be built.

    On an engine that somebody else started, stand-ins are removed at the end: whatever is built later must find the
    real images under their names.
    """
    text = "\n".join(path.read_text() for path in FILES)
    named = re.findall(r"^ +image: (\S+:\S+)$|^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    stoodin: list[str] = []

    def provide() -> bool:
        stoodin.extend(make_missing(sorted({image or python for image, python in named})))
        # Those of all profiles, so that no test waits for them.
        command = ["docker", "compose", *OF_THE_FILE, "--profile", "*", "build", "--quiet"]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0

    try:
        yield _timed("images", provide)
    finally:
        _remove_what_is_left()
        if stoodin and not kept:
            subprocess.run(["docker", "rmi", *stoodin], capture_output=True, check=False)


def _remove_what_is_left() -> None:
    """Remove what tests have left that were ended; containers would start again with the engine."""
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"name={PROJECT}-"]
    left = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()
    down = ["docker", "compose", *OF_THE_FILE, "--project-name", PROJECT, "--profile", "*", "down", "--volumes"]
    # Without containers, `docker rm` fails, and does no harm.
    for command in (["docker", "rm", "--force", "--volumes", *left], down):
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False)


def _tests_pass(part: str) -> bool:
    arguments, variables = PARTS[part]
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=os.environ | variables) as tests:
        try:
            return tests.wait() == 0
        except BaseException as ending:
            # Ctrl-C has reached them already.
            if not isinstance(ending, KeyboardInterrupt):
                tests.terminate()
            with suppress(subprocess.TimeoutExpired):
                tests.wait(ENDS_WITHIN_S)
            tests.kill()
            raise
