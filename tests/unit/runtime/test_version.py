"""What each program and each service tells of its version."""

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer import Typer
from typer.testing import CliRunner

from console.__main__ import commands as console_commands
from hubspot_consumer.__main__ import commands as consumer_commands
from producer.__main__ import commands as producer_commands
from runtime.http.server import application
from runtime.program import program_version
from sandbox.__main__ import commands as sandbox_commands
from sandbox.hubspot.__main__ import commands as simulator_commands

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Return the environment, in which no image tells its commit yet."""
    for name in ("NERAVA_VERSION", "NERAVA_REVISION"):
        monkeypatch.delenv(name, raising=False)
    program_version.cache_clear()
    yield monkeypatch
    program_version.cache_clear()


def project(folder: str) -> str:
    version: str = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["version"]
    return version


def test_both_distributions_and_the_programs_have_one_version() -> None:
    assert {project("."), project("docker"), program_version()} == {project(".")}


@pytest.mark.parametrize(
    ("revision", "shown"), [(COMMIT, " (0123456)"), (f"{COMMIT}-dirty", " (0123456-dirty)"), ("", "")]
)
@pytest.mark.parametrize(
    "program", [producer_commands, consumer_commands, console_commands, sandbox_commands, simulator_commands]
)
def test_each_program_prints_its_version_and_the_commit_of_its_image(
    program: Typer, revision: str, shown: str, image: pytest.MonkeyPatch
) -> None:
    image.setenv("NERAVA_REVISION", revision)

    printed = CliRunner().invoke(program, ["--version"])

    assert (printed.exit_code, printed.stdout) == (0, f"{project('.')}{shown}\n")


@pytest.mark.parametrize(
    ("told", "shown"), [({"NERAVA_VERSION": "1.4.2"}, "1.4.2"), ({"NERAVA_VERSION": ""}, "unknown"), ({}, "unknown")]
)
def test_a_program_that_was_copied_knows_the_version_that_its_image_tells(
    told: dict[str, str], shown: str, image: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    image.setattr(metadata, "version", absent)
    for name, value in told.items():
        image.setenv(name, value)

    assert program_version() == shown


async def test_the_status_of_a_service_tells_it_first(image: pytest.MonkeyPatch) -> None:
    image.setenv("NERAVA_REVISION", COMMIT)
    app = application("A service", unwell=dict, also=dict, metrics=CollectorRegistry(), status=lambda: {"mode": "live"})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.example.com") as http:
        status = (await http.get("/v1/status")).json()

    assert list(status.items()) == [("version", f"{project('.')} (0123456)"), ("mode", "live")]
