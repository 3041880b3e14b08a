"""docker-compose.yml, and the Dockerfiles that it builds, as the tests read them."""

import json
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from image_tree import Instruction, stages

ROOT: Final = Path(__file__).parents[2]
OURS: Final = ("producer", "consumer", "console", "simulator")


def read_yaml(path: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(ROOT / path)
    return content


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml("docker-compose.yml")["services"]
    return found


def stages_of(service: str) -> list[list[Instruction]]:
    return stages(ROOT / "docker" / f"{service}.Dockerfile")


def image(service: str) -> dict[str, str]:
    """Return what a service's image is left with: the last instruction of each name in its last stage."""
    return {step.name: step.arguments for step in stages_of(service)[-1]}


def listed(arguments: str) -> list[str]:
    """Return an instruction's arguments in exec form. Raises JSONDecodeError for the form that goes by a shell."""
    words: list[str] = json.loads(arguments)
    return words


def health_check(service: str) -> list[str]:
    return listed(image(service)["HEALTHCHECK"].partition(" CMD ")[2])


def command(service: str, arguments: list[str] | None = None) -> list[str]:
    """Return what a container of the image runs, with the arguments that compose gives it."""
    of_image = image(service)
    return listed(of_image["ENTRYPOINT"]) + (listed(of_image["CMD"]) if arguments is None else arguments)
