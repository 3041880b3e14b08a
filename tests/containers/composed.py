"""docker-compose.yml as people start it: by `make up`, in a project of the tests' own."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any, Final

import httpx

from tests.commands import OURS
from tests.foreign.compose import ROOT, services
from upkeep.containers.command import PROJECT

OPERATOR: Final = "o" * 32
# Images that aren't built yet take minutes.
WITHIN_S: Final = 600
# Whoever runs the tests by make, and his own choices for compose.
THEIRS: Final = (*OURS, "COMPOSE_", "ARGS", "MAKE", "MFLAGS")


class Composed:
    """The containers, volumes and networks of the project."""

    def __init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(THEIRS)}
        self.environment: Final[Mapping[str, str]] = {
            **inherited,
            "COMPOSE_PROJECT_NAME": PROJECT,
            # And not docker-compose.override.yml, which may lead to a portal.
            "COMPOSE_FILE": "docker-compose.yml",
            "CONSOLE_OPERATOR_TOKEN": OPERATOR,
            "NO_COLOR": "1",
        }

    def up(self, options: str = "") -> str:
        """Start everything, and return what shows when all of it is well."""
        return self.runs("make", "up", f"ARGS={options}")

    def down(self, options: str = "") -> None:
        self.runs("make", "down", f"ARGS={options}")

    def compose(self, *words: str) -> str:
        return self.runs("docker", "compose", "--profile", "*", *words)

    def runs(self, *command: str) -> str:
        """Run a command to its end, and return its output. Raises AssertionError if it fails."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, f"{' '.join(command)} exits with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def container(self, service: str, number: int = 1) -> dict[str, Any]:
        """Return what Docker knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.runs("docker", "inspect", f"{PROJECT}-{service}-{number}"))
        return found[0]

    def kill(self, service: str, number: int = 1) -> None:
        """Kill a container's first process from outside, as the kernel does that is out of memory.

        After `docker kill`, which counts as a stop by hand, no policy restarts the container.
        """
        pid = self.container(service, number)["State"]["Pid"]
        image = services()["postgres"]["image"]
        as_root_of_the_host = ["--rm", "--pid", "host", "--user", "0", "--entrypoint", "bash"]
        self.runs("docker", "run", *as_root_of_the_host, image, "-c", f"kill -9 {pid}")

    def left(self) -> list[str]:
        """Return the containers, volumes and networks that are there."""
        of_project = f"label=com.docker.compose.project={PROJECT}"
        listed = [
            *self.runs("docker", "ps", "--all", "--filter", of_project, "--format", "{{.Names}}").split(),
            *self.runs("docker", "volume", "ls", "--filter", of_project, "--format", "{{.Name}}").split(),
            *self.runs("docker", "network", "ls", "--filter", of_project, "--format", "{{.Name}}").split(),
        ]
        return sorted(listed)


async def get(url: str) -> Any:
    """Return the JSON at *url*, or None where nothing answers yet."""
    async with httpx.AsyncClient() as http:
        try:
            return (await http.get(url)).json()
        except httpx.TransportError:
            return None
