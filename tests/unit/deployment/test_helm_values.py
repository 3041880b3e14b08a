"""The Helm chart's values: their defaults, what the schema allows, and what the chart shares with the repository."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.foreign.compose import ROOT, read_yaml
from tests.foreign.monitoring import ALERTS, DASHBOARDS

CHART = ROOT / "deploy" / "helm" / "nerava-lifecycle"
SCHEMA: Mapping[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = read_yaml(str((CHART / "values.yaml").relative_to(ROOT)))


def allowed(properties: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each value that the schema's own part names; settings and secrets are the services'."""
    for name, schema in properties.items():
        yield f"{path}{name}"
        yield from allowed(schema.get("properties", {}), f"{path}{name}.")


def has(path: str) -> bool:
    found: Any = DEFAULTS
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def test_the_defaults_are_what_the_schema_allows_and_each_allowed_value_has_one() -> None:
    Draft7Validator.check_schema(SCHEMA)

    assert list(Draft7Validator(SCHEMA).iter_errors(DEFAULTS)) == []
    documented = [path for path in allowed(SCHEMA["properties"]) if not path.startswith(("pod.", "global"))]
    assert [path for path in documented if not has(path)] == []
    text = (CHART / "values.yaml").read_text()
    assert all(name in text for name in SCHEMA["properties"]["pod"]["properties"])


@pytest.mark.parametrize("service", ["all", "producer", "consumer", "console"])
def test_no_secret_is_a_setting_of_the_chart_and_none_of_what_the_chart_sets_itself(service: str) -> None:
    settings = SCHEMA["definitions"][f"settings of {service}"]["properties"]
    secrets = SCHEMA["definitions"][f"secrets of {service}"]["properties"]

    assert not settings.keys() & secrets.keys()
    assert [name for name in settings if re.search(r"TOKEN$|PASSWORD|DATABASE_URL|_PORT$|CONSOLE_FOLDER", name)] == []
    assert "KAFKA_SASL_PASSWORD" in secrets


def test_the_chart_and_its_images_have_the_services_version() -> None:
    projects = [tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"] for path in ("", "docker")]
    versions = {project["version"] for project in projects}

    chart = read_yaml("deploy/helm/nerava-lifecycle/Chart.yaml")
    assert versions == {chart["appVersion"]} == {chart["version"]}


def test_the_charts_alerts_and_dashboards_are_links_to_those_of_the_repository() -> None:
    links: list[Path] = sorted((CHART / "files").iterdir())

    assert all(link.is_symlink() for link in links)
    assert {link.resolve() for link in links} == {ALERTS, *DASHBOARDS}
