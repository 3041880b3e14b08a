"""The task definitions of deploy/ecs/ beside the AWS CLI's model, images, compose and settings; a plan of changes."""

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from console.settings import Settings as ConsoleSettings
from ecs import PLACEHOLDER, TOLD, plan
from hubspot_consumer.doctor.environment import DoctorSettings
from producer.settings import Settings as ProducerSettings
from tests.commands import OURS as PREFIXES
from tests.foreign.aws.definitions import PLACES, ROOT, SECRETS, definition
from tests.foreign.compose import health_check, image, services

MODEL = botocore.session.get_session().get_service_model("ecs")
Kind = type[ProducerSettings] | type[DoctorSettings] | type[ConsoleSettings]
SERVICES: dict[str, tuple[Kind, ...]] = {
    "producer": (ProducerSettings,),
    "consumer": (DoctorSettings,),
    "console": (ConsoleSettings, DoctorSettings),
}
# Compose has one broker without a password, and the simulator in HubSpot's place.
OF_COMPOSE_ALONE = {"HUBSPOT_API_BASE_URL"}
# There, people run the doctor in it.
OF_THE_CONSUMER_IN_COMPOSE = {"DATABASE_URL"}
OF_ECS_ALONE = {"KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}
OF_THE_CONSOLE = {"CONSOLE_FOLDER", "CONSOLE_HTTPS"}
every_service = pytest.mark.parametrize("name", SERVICES)


def container(name: str) -> dict[str, Any]:
    (found,) = definition(name)["containerDefinitions"]
    assert found["name"] == name
    return dict(found)


def variables(name: str) -> dict[str, str]:
    return {found["name"]: found["value"] for found in container(name)["environment"]}


def secrets(name: str) -> dict[str, str]:
    return {found["name"]: found["valueFrom"] for found in container(name)["secrets"]}


@every_service
def test_the_aws_cli_takes_the_definition(name: str) -> None:
    model = MODEL.operation_model("RegisterTaskDefinition").input_shape

    assert ParamValidator().validate(definition(name), model).generate_report() == ""


def test_what_is_left_out_of_a_new_revision_is_all_that_registering_does_not_take() -> None:
    told = MODEL.shape_for("TaskDefinition").members.keys()

    assert told - MODEL.operation_model("RegisterTaskDefinition").input_shape.members.keys() == TOLD


@every_service
def test_placeholders_are_those_that_the_document_explains(name: str) -> None:
    text = (ROOT / "deploy" / "ecs" / f"{name}.json").read_text()

    assert {found[1:-1] for found in PLACEHOLDER.findall(text)} <= PLACES.keys() | {"secret"}
    assert PLACEHOLDER.findall(json.dumps(definition(name))) == []


@every_service
def test_the_container_is_what_the_image_and_compose_say(name: str) -> None:
    found, composed = container(name), services()[name]
    flags = dict(re.findall(r"--([a-z-]+)=(\d+)", image(name)["HEALTHCHECK"]))
    port = int(image(name)["EXPOSE"])

    assert found["command"] == composed["command"]
    assert found["user"] == image(name)["USER"]
    assert found["portMappings"] == [{"containerPort": port, "hostPort": port, "protocol": "tcp"}]
    assert found["healthCheck"] == {
        "command": ["CMD", *health_check(name)],
        "interval": int(flags["interval"]),
        "timeout": int(flags["timeout"]),
        "retries": int(flags["retries"]),
        "startPeriod": int(flags["start-period"]),
    }
    # Fargate kills after 120 s at the latest.
    assert int(composed["stop_grace_period"].rstrip("s")) <= found["stopTimeout"] <= 120


@every_service
def test_the_container_has_no_rights_and_nothing_to_write_to_but_tmp(name: str) -> None:
    found, composed = container(name), services()[name]
    linux = found["linuxParameters"]

    assert found["readonlyRootFilesystem"] is composed["read_only"] is True
    assert linux["initProcessEnabled"] is composed["init"] is True
    assert linux["capabilities"] == {"drop": composed["cap_drop"]}
    assert [mount["containerPath"] for mount in linux["tmpfs"]] == composed["tmpfs"]
    assert "mountPoints" not in found
    # The console's index lies in a volume of compose's.
    assert variables(name).get("CONSOLE_FOLDER", "/tmp/").startswith("/tmp/")


@every_service
def test_settings_are_those_of_compose_and_of_a_kafka_with_a_password(name: str) -> None:
    composed = set(services()[name]["environment"])
    if name == "producer":
        composed |= set(services()["topics"]["environment"]) | set(services()["migrate"]["environment"])
    if name == "consumer":
        composed -= OF_THE_CONSUMER_IN_COMPOSE
    own = OF_THE_CONSOLE if name == "console" else set()

    assert variables(name).keys() | secrets(name).keys() == (composed - OF_COMPOSE_ALONE) | OF_ECS_ALONE | own


@every_service
def test_every_setting_is_taken_and_what_is_secret_is_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in PREFIXES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in (variables(name) | {secret: SECRETS[secret] for secret in secrets(name)}).items():
        monkeypatch.setenv(variable, value)
    kinds = SERVICES[name]
    fields = {field.upper(): kind.model_fields[field] for kind in kinds for field in kind.model_fields}

    assert [kind().kafka_bootstrap_servers for kind in kinds] == [PLACES["brokers"]] * len(kinds)
    assert {
        variable for variable in variables(name) | secrets(name) if "Secret" in str(fields[variable].annotation)
    } == (secrets(name).keys())


@every_service
def test_secrets_are_keys_of_the_services_own_secret(name: str) -> None:
    assert secrets(name) == {
        key: f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:nerava/{name}-AbCdEf:{key}::"
        for key in secrets(name)
    }


def test_a_first_deployment_is_a_dry_run() -> None:
    assert {variables(name)["HUBSPOT_SEND_LIVE"] for name in ("consumer", "console")} == {"false"}


def test_a_plan_shows_hidden_what_changes_of_another_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = definition("consumer"), definition("consumer")
    for number, content in enumerate((before, after)):
        variables = [{"name": "PASSWORD", "value": f"sesame-{number}"}, {"name": "SAME", "value": "sesame"}]
        proxy = {"name": "proxy", "image": f"proxy:sesame-{number}", "environment": variables}
        content["containerDefinitions"].insert(0, proxy)
    # AWS does not keep an order of variables.
    before["containerDefinitions"][0]["environment"].reverse()
    after["containerDefinitions"][0]["secrets"] = [{"name": "KEY", "valueFrom": "sesame"}]
    described, file, request = (tmp_path / name for name in ("described.json", "file.json", "request.json"))
    described.write_text(json.dumps({"taskDefinition": before}))
    file.write_text(json.dumps(after))

    plan(str(described), str(request), "consumer", "", str(file))

    shown = capsys.readouterr().out
    hidden = "(another value)"
    assert [tuple(line.split(maxsplit=2)[1:]) for line in shown.splitlines() if line.startswith("*")] == [
        ("proxy.image", f"{hidden} -> {hidden}"),
        ("proxy.environment.PASSWORD.value", f"{hidden} -> {hidden}"),
        ("proxy.secrets.KEY", f"(not set) -> {hidden}"),
    ]
    assert "sesame" not in shown
    assert json.loads(request.read_text()) == after
