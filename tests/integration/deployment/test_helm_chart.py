"""The Helm chart: Helm 3 and Helm 4 render it, Kubernetes' schemas take it, and wrong values are refused by name."""

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from tests.foreign.compose import ROOT
from tests.foreign.toolchains import WITHIN_S
from tests.helm.chart import (
    CHART,
    HELMS,
    RELEASE,
    VALUES,
    Manifest,
    container,
    environment,
    helm,
    of_kind,
    refusal,
    rendered,
    run,
    secrets,
    templates,
)
from tests.helm.schemas import NEWEST, OLDEST, errors

pytestmark = pytest.mark.timeout(WITHIN_S + 60)

REFUSED: list[tuple[Mapping[str, Any], str]] = [
    ({"existingSecret": ""}, "existingSecret is not set: name the Secret"),
    ({"settings": {"KAFKA_BOOTSTRAP_SERVERS": ""}}, "settings.KAFKA_BOOTSTRAP_SERVERS is not set"),
    ({"producers": {}}, "producers"),
    ({"settings": {"KAFKA_BOOTSTRAP_SERVER": "kafka:9092"}}, "KAFKA_BOOTSTRAP_SERVER"),
    ({"consumer": {"replicas": "three"}}, "replicas"),
    ({"consumer": {"settings": {"HUBSPOT_ENABLED": "yes"}}}, "HUBSPOT_ENABLED"),
    ({"consumer": {"settings": {"HUBSPOT_RATE_LIMIT": 0}}}, "HUBSPOT_RATE_LIMIT"),
    ({"consumer": {"settings": {"HUBSPOT_TIMELINE": "all"}}}, "HUBSPOT_TIMELINE"),
    # What the chart itself says to each service.
    ({"consumer": {"settings": {"CONSUMER_PORT": 8090}}}, "CONSUMER_PORT"),
    ({"pod": {"hostNetwork": True}}, "hostNetwork"),
    ({"monitoring": {"podMonitor": True}}, "networkPolicy.monitoring names nobody"),
    # A secret is no setting, and what stands beside a secret is a key of the Secret.
    ({"consumer": {"settings": {"HUBSPOT_PRIVATE_APP_TOKEN": "sesame"}}}, "HUBSPOT_PRIVATE_APP_TOKEN"),
    (
        {"producer": {"secrets": {"DATABASE_URL": "postgresql://u:sesame@db/name"}}},
        "DATABASE_URL is no key of a Secret",
    ),
]


@pytest.fixture(scope="module", params=HELMS)
def program(request: pytest.FixtureRequest) -> Path:
    return helm(request.param)


@pytest.fixture(scope="module")
def everything() -> list[Manifest]:
    return rendered(helm("helm3"), "everything")


def test_helm_finds_nothing_to_complain_of(program: Path) -> None:
    for named in ("", *VALUES):
        code, output, _ = run(program, "lint", "--strict", CHART, named=named)

        assert (code, "[WARNING]" in output, "0 chart(s) failed" in output) == (0, False, True), output


@pytest.mark.parametrize("named", VALUES)
def test_both_versions_of_helm_render_the_same(named: str) -> None:
    assert rendered(helm("helm3"), named) == rendered(helm("helm4"), named)


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
@pytest.mark.parametrize("named", VALUES)
def test_every_object_is_one_that_kubernetes_takes(named: str, kubernetes: str) -> None:
    manifests = rendered(helm("helm3"), named)

    assert {manifest["kind"]: found for manifest in manifests if (found := errors(manifest, kubernetes))} == {}


@pytest.mark.parametrize("named", ["replica", "strategy"])
def test_a_misspelt_field_and_a_wrong_type_are_found(everything: list[Manifest], named: str) -> None:
    wrong = {**of_kind(everything, "Deployment")["producer"]}
    wrong["spec"] = {**wrong["spec"], named: 3}

    (error,) = errors(wrong, NEWEST)
    assert named in error


def test_everything_is_there(everything: list[Manifest]) -> None:
    found = {kind: sorted(of_kind(everything, kind)) for kind in {manifest["kind"] for manifest in everything}}

    assert found == {
        "Deployment": ["console", "consumer", "producer"],
        "Job": ["migrate", "topics"],
        "Pod": ["doctor"],
        "Service": ["console", "consumer", "producer", "producer-pods"],
        "PersistentVolumeClaim": ["console"],
        "PodDisruptionBudget": ["consumer", "producer"],
        "NetworkPolicy": ["console", "consumer", "doctor", "migrate", "producer", "topics"],
        "PodMonitor": ["monitoring"],
        "PrometheusRule": ["monitoring"],
        "ConfigMap": ["monitoring"],
    }


def test_only_the_services_are_left_of_the_least_values() -> None:
    found = rendered(helm("helm3"), "least")

    assert {manifest["kind"] for manifest in found} == {"Deployment", "Service", "Pod"}
    assert "secrets" not in {volume["name"] for volume in templates(found)["consumer"]["spec"]["volumes"]}


@pytest.mark.parametrize(("values", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_wrong_values_are_refused_and_the_key_is_named(program: Path, values: Mapping[str, Any], named: str) -> None:
    said = refusal(program, values)

    assert named in said
    assert "sesame" not in said


def test_the_values_of_the_document_are_rendered_and_its_objects_taken() -> None:
    document = (ROOT / "docs" / "kubernetes.md").read_text()
    values = YAML(typ="safe").load(dedent(re.findall(r"^ *```yaml\n(.*?)```", document, re.DOTALL | re.MULTILINE)[0]))
    found = rendered(helm("helm3"), values=values)

    assert [error for manifest in found for error in errors(manifest, NEWEST)] == []
    keys = re.findall(r"--from-file ([A-Z_]+)=", document)
    assert {item["key"] for pod in templates(found).values() for item in secrets(pod)} == set(keys)


def test_a_packaged_chart_renders_the_same(program: Path, tmp_path: Path) -> None:
    assert run(program, "package", CHART, "--destination", tmp_path)[0] == 0
    (package,) = tmp_path.iterdir()

    assert rendered(program, "everything", chart=package) == rendered(program, "everything")


def test_the_longest_name_that_helm_gives_a_release_is_short_enough_for_each_object(program: Path) -> None:
    # One that is cut behind its hyphen, and Helm's limit is 53.
    found = rendered(program, "everything", release=f"{'x' * 48}-{'y' * 4}")

    names = [manifest["metadata"]["name"] for manifest in found]
    assert [name for name in names if not re.fullmatch(r"x[a-z-]{,62}", name) or "--" in name] == []
    console = templates(found)["console"]
    services = {manifest["metadata"]["name"] for manifest in found if manifest["kind"] == "Service"}
    urls = ("CONSOLE_PRODUCERS", "CONSOLE_CONSUMERS", "DOCTOR_WORKER_URL")
    assert {urlsplit(environment(console)[name]).hostname for name in urls} <= services
    claims = [volume["persistentVolumeClaim"] for volume in console["spec"]["volumes"] if volume["name"] == "data"]
    assert claims[0]["claimName"] in names


def test_numbers_reach_the_services_as_they_are_written(everything: list[Manifest]) -> None:
    found = environment(templates(everything)["consumer"]) | environment(templates(everything)["producer"])

    assert found["HUBSPOT_PORTAL_ID"] == "12345678"
    assert found["HUBSPOT_DAILY_LIMIT"] == "250000000"
    assert found["OUTBOX_RETENTION_H"] == "1.5"
    assert found["HUBSPOT_SEND_LIVE"] == "true"


def test_images_have_the_charts_version_unless_a_tag_is_given_for_all_or_for_one(everything: list[Manifest]) -> None:
    def images(manifests: list[Manifest]) -> dict[str, str]:
        return {name: container(pod)["image"] for name, pod in templates(manifests).items()}

    chart = YAML(typ="safe").load(CHART / "Chart.yaml")
    assert images(rendered(helm("helm3")))["consumer"] == f"nerava-consumer:{chart['appVersion']}"
    assert images(everything)["consumer"] == "registry.example.com/nerava/nerava-consumer:1.2.3"
    for name in ("producer", "migrate", "topics"):
        assert images(everything)[name] == "registry.example.com/nerava/nerava-producer:1.2.2"


def test_the_notes_say_what_reaches_hubspot_and_what_to_do_next() -> None:
    def notes(values: Mapping[str, Any]) -> str:
        # Helm 3 asks a cluster before it shows any.
        dry = run(helm("helm4"), "install", RELEASE, CHART, "--dry-run=client", named="smallest", values=values)
        return dry[1].partition("NOTES:")[2]

    live = {"HUBSPOT_SEND_LIVE": True, "HUBSPOT_PORTAL_ID": 12345678}
    assert "a dry run" in notes({})
    assert "in portal 12345678" in notes({"consumer": {"settings": live}})
    assert "read nothing" in notes({"consumer": {"settings": {"HUBSPOT_ENABLED": False}}})
    assert "helm test lifecycle" in notes({})
    assert "service/lifecycle-console 8082" in notes({"console": {"enabled": True}})
