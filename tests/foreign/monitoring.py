"""The files under `monitoring`, as tests read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "monitoring"
ALERTS = FOLDER / "alerts.yml"
TESTS_OF_ALERTS = sorted((FOLDER / "tests").glob("*.yml"))
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(ALERTS)["groups"] for rule in group["rules"]]


def cases() -> list[dict[str, Any]]:
    """Return the cases of promtool's tests."""
    return [case for file in TESTS_OF_ALERTS for case in read_yaml(file)["tests"]]


def panels(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return found


def queries() -> Iterator[str]:
    """Yield every expression of alerts and dashboards, and every series that promtool's tests make up."""
    for alert in alerts():
        yield alert["expr"]
    for case in cases():
        for series in case["input_series"]:
            yield series["series"]
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                yield target["expr"]
