"""docker-compose.yml beside our settings, commands and ports. check-jsonschema knows its form, in `make check`."""

import re

import pytest

from console.__main__ import COMMANDS as CONSOLE
from console.settings import Settings as ConsoleSettings
from hubspot_consumer.__main__ import COMMANDS as CONSUMER
from hubspot_consumer.doctor.environment import DoctorSettings
from hubspot_consumer.settings import Settings as ConsumerSettings
from producer.__main__ import COMMANDS as PRODUCER
from producer.settings import Settings as ProducerSettings
from sandbox import connect
from sandbox.simulator import PORTAL_ID, TOKEN
from sandbox.variants.versions import USUAL_KAFKA
from tests.commands import OURS as PREFIXES
from tests.foreign.compose import OURS, ROOT, image, read_yaml, services

Kind = type[ProducerSettings] | type[ConsumerSettings] | type[ConsoleSettings]
SETTINGS: dict[str, tuple[Kind, ...]] = {
    "nerava-producer": (ProducerSettings,),
    # The doctor's are the consumer's, and some of its own.
    "nerava-consumer": (DoctorSettings,),
    # It runs the consumer's commands.
    "nerava-console": (ConsoleSettings, DoctorSettings),
}
# What whoever starts it must have chosen.
CHOSEN = {"CONSOLE_OPERATOR_TOKEN": "o" * 32}
COMMANDS = {
    "nerava-producer": PRODUCER,
    "nerava-consumer": CONSUMER,
    "nerava-console": CONSOLE,
}
OF_OURS = [name for name, service in services().items() if service.get("image") in SETTINGS]


@pytest.mark.parametrize("name", OF_OURS)
def test_every_variable_is_a_setting_of_ours_and_all_are_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    service = services()[name]
    environment = {variable: str(value) for variable, value in service["environment"].items()}
    kinds = SETTINGS[service["image"]]
    known = {variable for kind in kinds for variable in kind.model_fields}

    assert [variable for variable in environment if variable.lower() not in known] == []
    for variable in PREFIXES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, CHOSEN.get(variable) or re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    assert {kind().kafka_bootstrap_servers for kind in kinds} == {"kafka:19092"}


@pytest.mark.parametrize("name", [name for name in OF_OURS if "entrypoint" not in services()[name]])
def test_every_command_exists(name: str) -> None:
    service = services()[name]

    assert service["command"][0] in COMMANDS[service["image"]]


def test_ports_are_the_defaults_and_only_this_machine_reaches_them() -> None:
    exposed = {name: image(name)["EXPOSE"] for name in OURS}
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}

    assert exposed["producer"] == str(ProducerSettings.model_fields["producer_port"].default)
    assert exposed["consumer"] == str(ConsumerSettings.model_fields["consumer_port"].default)
    assert exposed["console"] == str(ConsoleSettings.model_fields["console_port"].default)
    for name in ("producer", "consumer"):
        assert published[f"first-{name}"][0] == f"127.0.0.1:{exposed[name]}:{exposed[name]}"
    for name in ("console", "simulator"):
        assert published[name][0].rpartition(":")[2] == exposed[name]
    for ports in published.values():
        assert ports[0].startswith("127.0.0.1:")


def test_no_port_of_this_machine_is_taken_twice() -> None:
    taken: list[int] = []
    for service in services().values():
        for port in service.get("ports", []):
            first, _, last = port.split(":")[1].partition("-")
            taken.extend(range(int(first), int(last or first) + 1))

    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("name", ["producer", "consumer"])
def test_a_service_can_be_scaled_and_its_port_leads_to_the_first_container(name: str) -> None:
    found = services()
    port = image(name)["EXPOSE"]

    assert {"container_name", "ports"} & set(found[name]) == set()
    assert found[f"first-{name}"]["command"][1] == f"TCP:${{COMPOSE_PROJECT_NAME}}-{name}-1:{port}"


def test_one_service_builds_each_image_so_that_a_start_replaces_nothing() -> None:
    assert sorted(built()) == sorted(f"nerava-{name}" for name in OURS)
    # Nothing of ours is looked for in a registry.
    for service in services().values():
        assert service["image"] not in built() or "build" in service or service["pull_policy"] == "never"


def test_logs_have_a_limit_and_every_volume_of_an_image_is_named_or_of_memory() -> None:
    for service in services().values():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert services()["kafka"]["tmpfs"] == ["/etc/kafka/secrets", "/mnt/shared/config"]
    assert services()["connect"]["tmpfs"] == [f"/kafka/{name}:uid=1001" for name in ("config", "data", "logs")]


def test_health_checks_start_no_java() -> None:
    checks = [
        str(service["healthcheck"].get("test", "")) for service in services().values() if "healthcheck" in service
    ]

    assert [check for check in checks if "kafka-" in check or "java" in check] == []


def test_the_console_has_the_consumers_settings_of_hubspot() -> None:
    consumer, console = (services()[name]["environment"] for name in ("consumer", "console"))

    assert {name: console[name] for name in consumer} == consumer


def test_the_consumer_is_given_the_simulator_and_nothing_of_the_shells() -> None:
    environment = services()["consumer"]["environment"]

    assert environment["HUBSPOT_API_BASE_URL"] == f"http://simulator:{image('simulator')['EXPOSE']}"
    assert (environment["HUBSPOT_PRIVATE_APP_TOKEN"], environment["HUBSPOT_PORTAL_ID"]) == (TOKEN, PORTAL_ID)
    assert "${" not in str(environment)


def test_services_start_when_the_jobs_before_them_are_done() -> None:
    found = services()
    done = {"condition": "service_completed_successfully"}

    for job in ("migrate", "topics", "connector"):
        assert found[job]["restart"] == "no"
        assert found[job]["healthcheck"] == {"disable": True}
    assert found["producer"]["depends_on"] == {"migrate": done, "topics": done}
    assert found["consumer"]["depends_on"]["topics"] == done


@pytest.mark.parametrize("name", [*OF_OURS, "simulator"])
def test_our_containers_have_no_rights_and_nothing_to_write_to_but_tmp(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service


def test_every_image_is_pinned_and_those_that_the_sandbox_has_too_are_of_its_versions() -> None:
    images = {name: service["image"] for name, service in services().items() if service["image"] not in built()}

    assert [name for name, found in images.items() if not re.search(r":v?\d", found)] == []
    assert images["kafka"].partition(":")[2] == USUAL_KAFKA
    assert connect.CONNECTOR.endswith(f":{images['connect'].partition(':')[2]}")


def test_every_mounted_file_is_there() -> None:
    mounts = [mount.split(":")[0] for service in services().values() for mount in service.get("volumes", [])]

    assert [mount for mount in mounts if mount.startswith(".") and not (ROOT / mount).exists()] == []


def test_prometheus_scrapes_every_service_of_ours_at_its_port() -> None:
    jobs = read_yaml("monitoring/prometheus.yml")["scrape_configs"]
    found = {job["job_name"]: (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"]) for job in jobs}

    assert found == {name: ([name], int(image(name)["EXPOSE"])) for name in ("producer", "consumer")}


def test_grafana_reads_prometheus_and_the_folder_of_dashboards() -> None:
    (source,) = read_yaml("monitoring/grafana/datasources.yml")["datasources"]
    (provider,) = read_yaml("monitoring/grafana/dashboards.yml")["providers"]
    mounts = services()["grafana"]["volumes"]

    assert source["url"] == "http://prometheus:9090"
    assert f"./monitoring/dashboards:{provider['options']['path']}:ro" in mounts


def built() -> list[str]:
    return [service["image"] for service in services().values() if "build" in service]
