"""Alerts and dashboards: each alert says what it means and leads somewhere, and nothing asks for what is not there."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from hubspot_consumer.hubspot.connection import CallMade
from hubspot_consumer.metrics import Telemetry
from producer.telemetry import Telemetry as ProducersTelemetry
from runtime.health import Health
from tests.foreign.markdown import anchors
from tests.foreign.monitoring import ALERTS, DASHBOARDS, FOLDER, alerts, cases, panels, queries, read_yaml
from tests.foreign.promql import Exposed
from tests.parts import status_of

ROOT = FOLDER.parent


@pytest.fixture
def exposed() -> Exposed:
    """What both services tell when next to nothing has happened."""
    consumers, producers, found = Telemetry(), ProducersTelemetry(), Exposed()
    consumers.call(CallMade("upsert", "200", inputs=1, seconds=0.1))
    consumers.shows(status_of().report)
    producers.shows(Health())
    for registry in (consumers.registry, producers.registry):
        found.add(generate_latest(registry).decode())
    return found


def test_every_alert_says_how_urgent_it_is_and_what_it_means_and_leads_to_its_part_of_the_runbook() -> None:
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["annotations"]["summary"].endswith("."), name
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert anchor == name.lower()
        assert anchor in anchors(ROOT / page), name


def test_no_alert_is_there_twice_and_none_of_the_runbooks_is_gone() -> None:
    names = [alert["alert"] for alert in alerts()]
    section = (ROOT / "docs/runbook.md").read_text().split("\n## Alerts\n")[1].split("\n## ")[0]

    assert sorted(set(names)) == sorted(names)
    assert sorted(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == sorted(names)


def test_every_alert_fires_and_ends_in_a_test_of_promtools() -> None:
    tried: dict[str, list[bool]] = {alert["alert"]: [] for alert in alerts()}
    for case in cases():
        for moment in case.get("alert_rule_test", ()):
            tried[moment["alertname"]].append(bool(moment["exp_alerts"]))

    assert {name: {True, False} - set(fired) for name, fired in tried.items()} == {name: set() for name in tried}


def test_alerts_and_dashboards_ask_for_metrics_and_labels_that_there_are(exposed: Exposed) -> None:
    assert list(exposed.faults_of(queries())) == []


def test_every_metric_is_explained_and_none_that_is_not_there(exposed: Exposed) -> None:
    explained = re.findall(r"^\| `(\w+)`", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    told = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed.labels}

    assert sorted(explained) == sorted(name for name in told if not name.endswith("_created"))


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("sum(rate(hubspot_consumer_event_delivered_total[5m]))", "no metric"),
        ('hubspot_consumer_halted{reason="tired"}', "has no reason"),
        ('hubspot_consumer_halted{why=~"token_refused|scope_missing"}', "has no why"),
        ("sum by (kind) (hubspot_consumer_lag_events) + sum by (part) (hubspot_consumer_halted)", "no label"),
    ],
)
def test_what_is_not_there_is_found(exposed: Exposed, query: str, fault: str) -> None:
    exposed.add('# TYPE hubspot_consumer_lag_events gauge\nhubspot_consumer_lag_events{topic="a"} 1\n')
    exposed.empty.discard("hubspot_consumer_lag_events")

    [found, *_] = exposed.faults_of([query])

    assert found.startswith(fault) or fault in found


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboards_panels_have_ids_of_their_own_and_lie_side_by_side(dashboard: Path) -> None:
    drawn = panels(dashboard)
    places = [set(cells(panel["gridPos"])) for panel in drawn]

    assert len({panel["id"] for panel in drawn}) == len(drawn)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in drawn)
    assert [one & other for one, other in itertools.combinations(places, 2) if one & other] == []
    for panel in drawn:
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"]
            assert panel["targets"]


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    yield from itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))


def test_prometheus_reads_both_services_by_the_jobs_that_alerts_name() -> None:
    config = read_yaml(FOLDER / "prometheus.yml")

    assert [job["job_name"] for job in config["scrape_configs"]] == ["producer", "consumer"]
    assert [file for pattern in config["rule_files"] for file in FOLDER.glob(pattern)] == [ALERTS]
