"""The Helm chart beside what else says how services run: docker-compose.yml, the settings, alerts, the images' user."""

import re
from collections.abc import Mapping
from pathlib import Path

import certifi
import pytest

from console.settings import Settings as ConsoleSettings
from hubspot_consumer.doctor.environment import DoctorSettings
from hubspot_consumer.settings import Settings as ConsumerSettings
from producer.settings import DatabaseSettings
from producer.settings import KafkaSettings as TopicSettings
from producer.settings import Settings as ProducerSettings
from runtime.settings import ServiceSettings
from tests.foreign.compose import image, services, stages_of
from tests.foreign.monitoring import ALERTS, DASHBOARDS, queries, read_yaml
from tests.foreign.toolchains import WITHIN_S
from tests.helm.chart import (
    RELEASE,
    Manifest,
    container,
    environment,
    helm,
    labels,
    of_kind,
    rendered,
    secrets,
    templates,
)

pytestmark = pytest.mark.timeout(WITHIN_S + 60)

SERVICES = ("producer", "consumer", "console")
KINDS: Mapping[str, tuple[type[ServiceSettings], ...]] = {
    "producer": (ProducerSettings,),
    "migrate": (DatabaseSettings,),
    "topics": (TopicSettings,),
    "consumer": (ConsumerSettings,),
    "doctor": (DoctorSettings,),
    # It runs the consumer's commands.
    "console": (ConsoleSettings, DoctorSettings),
}
# A pod sees only the secrets that it needs: `topics` asks no database, and the doctor has a pod of its own.
NEEDLESS = {"topics": {"DATABASE_URL"}, "consumer": {"DATABASE_URL", "DOCTOR_WORKER_URL"}}
MOUNTED = "/run/secrets/lifecycle"
# The path is the setting.
FILES = {"KAFKA_SSL_CAFILE"}
SAMPLES = {
    "DATABASE_URL": "postgresql://nerava:secret@db.example.com/nerava",
    "KAFKA_SSL_CAFILE": Path(certifi.where()).read_text(),
}


@pytest.fixture(scope="module")
def as_compose() -> list[Manifest]:
    return rendered(helm("helm3"), "as_compose")


@pytest.fixture(scope="module")
def everything() -> list[Manifest]:
    return rendered(helm("helm3"), "everything")


@pytest.mark.parametrize("name", [*SERVICES, "migrate", "topics"])
def test_commands_and_settings_are_those_of_compose(as_compose: list[Manifest], name: str) -> None:
    pod, service = templates(as_compose)[name], services()[name]
    found = {variable.removesuffix("_FILE") for variable in environment(pod)}
    of_compose = set(service["environment"]) - NEEDLESS.get(name, set())

    assert container(pod)["image"].startswith(f"{service['image']}:")
    assert container(pod)["args"] == service["command"]
    assert "command" not in container(pod)
    assert of_compose <= found
    assert found - of_compose <= {"KAFKA_PARTITIONS", "KAFKA_REPLICATION_FACTOR"}


@pytest.mark.usefixtures("none_of_ours")
@pytest.mark.parametrize("name", KINDS)
def test_every_variable_is_a_setting_of_the_service_and_all_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, everything: list[Manifest], name: str
) -> None:
    pod = templates(everything)[name]
    known = {setting for kind in KINDS[name] for setting in kind.model_fields} | set(ProducerSettings.model_fields)
    for variable, value in environment(pod).items():
        assert variable.removesuffix("_FILE").lower() in known or variable.lower() in known
        monkeypatch.setenv(variable, value.replace(MOUNTED, str(tmp_path)))
    mounted = {item["path"] for item in secrets(pod)}
    for setting in mounted:
        (tmp_path / setting).write_text(SAMPLES.get(setting, setting.lower().ljust(32, "x")))

    read = [kind() for kind in KINDS[name]]

    assert {setting.log_level for setting in read} == {"debug"}
    taken = {secret for setting in read for secret in setting.secrets}
    assert [setting for setting in mounted - FILES if (tmp_path / setting).read_text() not in taken] == []


@pytest.mark.parametrize("name", SERVICES)
def test_ports_and_probes_are_those_of_the_image(everything: list[Manifest], name: str) -> None:
    pod = container(templates(everything)[name])
    port = int(image(name)["EXPOSE"])

    assert pod["ports"] == [{"name": "http", "containerPort": port}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert pod[probe]["httpGet"] == {"path": "/v1/health/live", "port": "http"}
        assert pod[probe]["httpGet"]["path"] in image(name)["HEALTHCHECK"]
    for service in selecting(everything, name):
        assert service["spec"]["ports"] == [{"name": "http", "port": port, "targetPort": "http"}]


@pytest.mark.parametrize(("variable", "name"), [("CONSOLE_PRODUCERS", "producer"), ("CONSOLE_CONSUMERS", "consumer")])
def test_the_console_asks_each_pod_by_the_name_of_a_headless_service(
    everything: list[Manifest], variable: str, name: str
) -> None:
    (headless,) = (service for service in selecting(everything, name) if service["spec"].get("clusterIP") == "None")

    address = f"http://{headless['metadata']['name']}:{image(name)['EXPOSE']}"
    assert environment(templates(everything)["console"])[variable] == address
    # Somebody who looks during an outage wants to see those that are starting, too.
    assert headless["spec"]["publishNotReadyAddresses"] is True


def test_what_the_services_need_is_done_before_them_and_in_the_order_of_compose(everything: list[Manifest]) -> None:
    jobs = of_kind(everything, "Job")
    order = sorted(jobs, key=lambda name: int(jobs[name]["metadata"]["annotations"]["helm.sh/hook-weight"]))

    assert order == ["migrate", "topics"]
    assert set(order) <= set(services()["producer"]["depends_on"])
    for job in jobs.values():
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        # Nothing else of the release is there yet.
        assert "envFrom" not in container(job["spec"]["template"])
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", KINDS)
def test_a_pod_has_no_rights_and_nothing_to_write_to_but_tmp(everything: list[Manifest], name: str) -> None:
    spec = templates(everything)[name]["spec"]
    user = int(re.findall(r"--uid (\d+)", str(stages_of("producer")))[0])

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(templates(everything)[name])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    # Of a Service named `producer`, Kubernetes would make PRODUCER_PORT=tcp://10.0.0.1:8080.
    assert spec["enableServiceLinks"] is False
    written = {mount["mountPath"] for mount in container(templates(everything)[name])["volumeMounts"]} - {MOUNTED}
    assert written == ({"/tmp", "/var/lib/console"} if name == "console" else {"/tmp"})


def test_an_upgrade_keeps_the_intake_takes_one_worker_at_a_time_and_never_has_two_consoles(
    everything: list[Manifest],
) -> None:
    specs = {name: deployment["spec"] for name, deployment in of_kind(everything, "Deployment").items()}
    budgets = of_kind(everything, "PodDisruptionBudget")

    assert specs["producer"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert specs["consumer"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert specs["consumer"]["minReadySeconds"] >= 15
    assert (specs["console"]["strategy"], specs["console"]["replicas"]) == ({"type": "Recreate"}, 1)
    for name in ("producer", "consumer"):
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert budgets[name]["spec"]["selector"] == specs[name]["selector"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_pod_has_as_long_to_end_as_in_compose_after_its_pause(everything: list[Manifest], name: str) -> None:
    pod = templates(everything)[name]
    pause = container(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])

    within = pod["spec"]["terminationGracePeriodSeconds"] - int(pause[1])
    assert f"{within}s" == services()[name]["stop_grace_period"]


def test_secrets_are_files_of_the_secret_that_exists_and_each_pod_sees_its_own_alone(
    everything: list[Manifest],
) -> None:
    kafka = {"KAFKA_SASL_PASSWORD": "kafka-password", "KAFKA_SSL_CAFILE": "ca.crt"}
    hubspot = {"HUBSPOT_PRIVATE_APP_TOKEN": "HUBSPOT_PRIVATE_APP_TOKEN"}
    seen = {name: {item["path"]: item["key"] for item in secrets(pod)} for name, pod in templates(everything).items()}

    assert seen["migrate"] == {"DATABASE_URL": "owner-url"}
    assert seen["topics"] == kafka
    assert seen["producer"] == kafka | {"DATABASE_URL": "relay-url", "PRODUCER_INTAKE_TOKEN": "intake"}
    assert seen["consumer"] == kafka | hubspot
    assert seen["doctor"] == kafka | hubspot | {"DATABASE_URL": "relay-url"}
    assert of_kind(everything, "Secret") == {}
    assert not {name for pod in templates(everything).values() for name in environment(pod)} & {
        *hubspot,
        "DATABASE_URL",
    }


def test_nobody_reaches_a_consumer_but_the_console_the_doctor_and_who_reads_metrics(everything: list[Manifest]) -> None:
    policies = of_kind(everything, "NetworkPolicy")
    (rule,) = policies["consumer"]["spec"]["ingress"]
    ours = [peer["podSelector"]["matchLabels"] for peer in rule["from"] if "podSelector" in peer]

    assert [peer["app.kubernetes.io/component"] for peer in ours] == ["console", "doctor"]
    assert all(peer["app.kubernetes.io/instance"] == RELEASE for peer in ours)
    assert [peer for peer in rule["from"] if "podSelector" not in peer] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    assert rule["ports"] == [{"port": "http"}]
    for job in ("migrate", "topics", "doctor"):
        assert "ingress" not in policies[job]["spec"]


def test_nobody_is_let_in_where_nobody_is_named_and_egress_is_left_alone() -> None:
    """An empty list of peers means everybody to Kubernetes, so that the rule must be missing."""
    policies = of_kind(rendered(helm("helm3")), "NetworkPolicy")

    assert "ingress" not in policies["console"]["spec"]
    assert all(policy["spec"]["policyTypes"] == ["Ingress"] for policy in policies.values())


def test_each_policy_covers_a_pod(everything: list[Manifest]) -> None:
    for name, policy in of_kind(everything, "NetworkPolicy").items():
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels(templates(everything)[name]).items()


def test_prometheus_reads_our_alerts_and_names_the_jobs_as_they_do(everything: list[Manifest]) -> None:
    (rules,) = of_kind(everything, "PrometheusRule").values()
    (monitor,) = of_kind(everything, "PodMonitor").values()
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]
    jobs = {labels(templates(everything)[name])[monitor["spec"]["jobLabel"]] for name in expression["values"]}

    assert rules["spec"] == read_yaml(ALERTS)
    assert {job for query in queries() for job in re.findall(r'job="(\w+)"', query)} <= jobs
    assert expression["key"] == monitor["spec"]["jobLabel"]
    assert monitor["metadata"]["labels"]["release"] == rules["metadata"]["labels"]["release"] == "prometheus"


def test_grafana_reads_our_dashboard(everything: list[Manifest]) -> None:
    (dashboards,) = of_kind(everything, "ConfigMap").values()

    assert dashboards["data"] == {path.name: path.read_text() for path in DASHBOARDS}


def selecting(manifests: list[Manifest], name: str) -> list[Manifest]:
    """Return the Services that lead to a component's pods."""
    its = labels(templates(manifests)[name]).items()
    return [found for found in of_kind(manifests, "Service").values() if found["spec"]["selector"].items() <= its]
