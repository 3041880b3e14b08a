"""Settings: the contract's names and defaults, secrets from files, one validation in every command."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from console.__main__ import commands as console_commands
from console.settings import Settings as ConsoleSettings
from hubspot_consumer.__main__ import COMMANDS as CONSUMER
from hubspot_consumer.__main__ import commands as consumer_commands
from hubspot_consumer.doctor.environment import DoctorSettings, read_environment
from hubspot_consumer.settings import Settings as ConsumerSettings
from producer.__main__ import COMMANDS as PRODUCER
from producer.__main__ import commands as producer_commands
from producer.settings import DatabaseSettings
from producer.settings import Settings as ProducerSettings
from runtime.settings import ServiceSettings
from upkeep.settings_reference import sections, values

pytestmark = pytest.mark.usefixtures("none_of_ours", "own_logs")

URL = "postgresql://me:open%40sesame@localhost/db"
KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}
TOKEN = "pat-na1-11111111-2222-4333-8444-555555555555"
INTAKE = "0123456789abcdef0123456789abcdef"

# Other programs rely on these names and defaults.
CONTRACT = {
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": None,
    "KAFKA_SASL_PASSWORD": None,
    "KAFKA_SSL_CAFILE": None,
    "KAFKA_TOPIC_PREFIX": "lifecycle.",
    "KAFKA_PARTITIONS": 12,
    "KAFKA_REPLICATION_FACTOR": 1,
    "HUBSPOT_ENABLED": False,
    "HUBSPOT_SEND_LIVE": False,
    "HUBSPOT_PRIVATE_APP_TOKEN": None,
    "HUBSPOT_PORTAL_ID": None,
    "HUBSPOT_API_BASE_URL": "https://api.hubapi.com",
    "HUBSPOT_API_VERSION": "2026-09",
    "HUBSPOT_ID_PROPERTY": "email",
    "HUBSPOT_RATE_LIMIT": 100,
    "HUBSPOT_RATE_WINDOW_S": 10,
    "HUBSPOT_DAILY_LIMIT": 250_000,
    "HUBSPOT_TIMELINE": "auto",
    "CONSUMER_GROUP": "hubspot-consumer",
    "PRODUCER_PORT": 8080,
    "CONSUMER_PORT": 8081,
}
PLUS = "open+sesame"
OPERATOR, READER = "open-sesame-operator" * 2, "open-sesame-reader" * 2
# Each secret, a class that has it, what else that needs, and a value that it takes.
SECRETS = [
    ("DATABASE_URL", DatabaseSettings, {}, URL),
    ("DATABASE_URL", DoctorSettings, {}, URL),
    ("RELAY_DATABASE_URL", ProducerSettings, {**KAFKA, "DATABASE_URL": "postgresql://me@localhost/db"}, URL),
    ("KAFKA_SASL_PASSWORD", ConsumerSettings, {}, "open sesame"),
    ("KAFKA_SASL_PASSWORD", ProducerSettings, {**KAFKA, "DATABASE_URL": URL}, "open sesame"),
    ("KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET", ConsumerSettings, {}, "open sesame"),
    ("KAFKA_SSL_KEY_PASSWORD", ConsumerSettings, {}, "open sesame"),
    ("PRODUCER_INTAKE_TOKEN", ProducerSettings, {**KAFKA, "DATABASE_URL": URL}, INTAKE),
    ("HUBSPOT_PRIVATE_APP_TOKEN", ConsumerSettings, {}, TOKEN),
    ("DATABASE_URL", ConsoleSettings, {**KAFKA, "CONSOLE_READER_TOKEN": READER}, URL),
    ("CONSOLE_OPERATOR_TOKEN", ConsoleSettings, KAFKA, OPERATOR),
    ("CONSOLE_READER_TOKEN", ConsoleSettings, KAFKA, READER),
]


def set_to(patch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        patch.setenv(name, value)


def all_fields() -> dict[str, Any]:
    return {name.upper(): field for section in sections() for name, field in section.fields.items()}


def test_names_and_defaults_are_those_of_the_contract() -> None:
    fields = all_fields()

    assert {name: fields[name].get_default() for name in CONTRACT} == CONTRACT
    assert {name for name in fields if name.startswith("HUBSPOT_")} <= CONTRACT.keys()


@pytest.mark.parametrize(("variable", "kind", "others", "value"), SECRETS)
def test_each_secret_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    kind: type[ServiceSettings],
    others: dict[str, str],
    value: str,
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbf" + value.encode() + b"\r\n")
    set_to(monkeypatch, {**others, f"{variable}_FILE": str(file)})

    settings = kind()

    assert getattr(settings, variable.lower()) == SecretStr(value)
    assert "sesame" not in repr(settings)
    assert value in settings.secrets


def test_no_secret_is_missing_above_and_no_setting_that_is_secret_is_shown() -> None:
    secrets = {name for name, field in all_fields().items() if values(field) == "a secret"}

    assert secrets == {variable for variable, *_ in SECRETS}
    looks_secret = {name for name in all_fields() if re.search("TOKEN|PASSWORD|SECRET|DATABASE_URL", name)}
    # It is shown without its password.
    assert looks_secret == secrets | {"KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL"}


@pytest.mark.parametrize(("variable", "kind", "others", "value"), SECRETS)
def test_a_secret_that_is_set_twice_is_refused_by_both_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, kind: type, others: dict[str, str], value: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(value)
    set_to(monkeypatch, {**others, variable: value, f"{variable}_FILE": str(file)})
    commands, command = {
        "producer.settings.DatabaseSettings": (producer_commands, ["migrate"]),
        "producer.settings.Settings": (producer_commands, ["relay"]),
        "hubspot_consumer.settings.Settings": (consumer_commands, ["worker"]),
        "console.settings.Settings": (console_commands, ["serve"]),
        "hubspot_consumer.doctor.environment.DoctorSettings": (consumer_commands, ["doctor", "--offline"]),
    }[f"{kind.__module__}.{kind.__name__}"]

    done = CliRunner().invoke(commands, command)

    assert done.exit_code == 2
    assert f"{variable} and {variable}_FILE are both set: set one" in done.output
    assert value not in done.output


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe"])
def test_a_file_that_holds_no_secret_is_named_with_all_else_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    set_to(monkeypatch, {**KAFKA, "DATABASE_URL_FILE": str(file), "PRODUCER_PORT": "eighty"})

    done = CliRunner().invoke(producer_commands, ["relay"])

    assert done.exit_code == 2
    lines = sorted(done.stderr.splitlines())
    assert [line.split(":")[0] for line in lines] == ["DATABASE_URL_FILE", "PRODUCER_PORT"]
    assert str(file) in lines[0]


def test_what_a_file_holds_is_held_to_the_same_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("mysql://me:sesame@localhost/db")
    set_to(monkeypatch, {"DATABASE_URL_FILE": str(file)})

    done = CliRunner().invoke(producer_commands, ["migrate"])

    assert done.exit_code == 2
    assert done.stderr.startswith("DATABASE_URL: should begin with postgresql://")
    assert "sesame" not in done.output


def test_empty_variables_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(TOKEN)
    set_to(monkeypatch, {"HUBSPOT_PRIVATE_APP_TOKEN": "", "HUBSPOT_PRIVATE_APP_TOKEN_FILE": str(file)})
    assert ConsumerSettings().hubspot_private_app_token == SecretStr(TOKEN)

    set_to(monkeypatch, {"HUBSPOT_PRIVATE_APP_TOKEN": TOKEN, "HUBSPOT_PRIVATE_APP_TOKEN_FILE": ""})
    assert ConsumerSettings().read_token() == SecretStr(TOKEN)


def test_a_token_is_read_again_from_its_file_and_one_that_can_not_be_sent_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(TOKEN)
    set_to(monkeypatch, {"HUBSPOT_PRIVATE_APP_TOKEN_FILE": str(file)})
    settings = ConsumerSettings()

    file.write_text("another-token\n")
    assert settings.read_token() == SecretStr("another-token")
    for content in ("two words", "", None):
        file.unlink() if content is None else file.write_text(content)
        with pytest.raises(ValueError, match=r"^HUBSPOT_PRIVATE_APP_TOKEN_FILE: ") as refused:
            settings.read_token()
        assert "two words" not in str(refused.value)


def test_the_doctor_reads_what_is_right_beside_a_file_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, {**KAFKA, "HUBSPOT_ENABLED": "true", "HUBSPOT_PRIVATE_APP_TOKEN_FILE": "/nowhere/token"})

    environment = read_environment()

    assert environment.faults == ("HUBSPOT_PRIVATE_APP_TOKEN_FILE: /nowhere/token can't be read: FileNotFoundError",)
    assert environment.settings.mode == "dry_run"


def test_the_password_of_a_url_is_a_secret_as_it_is_written_and_as_it_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_to(monkeypatch, {"DATABASE_URL": URL})
    assert set(DatabaseSettings().secrets) == {URL, "open%40sesame", "open@sesame"}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@localhost/db?password=open%2Bsesame",
        f"postgresql://me:{PLUS}@[::1]:5432,[::2]:5432/db",
        "host=localhost user=me password=open+sesame dbname=db",
        r"user=me password = 'op\en+sesame' host=localhost",
        "postgresql://me@localhost/db?sslkey=/key&sslpassword=open%2Bsesame",
    ],
)
def test_the_password_is_a_secret_in_every_form_that_libpq_has(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    set_to(monkeypatch, {"DATABASE_URL": url})

    assert "open+sesame" in {secret.replace("\\", "") for secret in DatabaseSettings().secrets}


@pytest.mark.parametrize("password", ["open#sesame", "open?sesame", "open:sesame"])
def test_a_sign_that_ends_other_urls_does_not_end_a_password(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    set_to(monkeypatch, {"DATABASE_URL": f"postgresql://me:{password}@localhost/db"})

    assert password in DatabaseSettings().secrets


def commands_that_read_settings() -> Iterator[tuple[str, str]]:
    for program, commands in (("producer", PRODUCER), ("consumer", CONSUMER)):
        yield from ((program, command) for command in commands if command != "dead-letters")


ARGUMENTS = {
    "suppress": ["ada@example.com"],
    "resync": ["ada@example.com"],
    "replay": ["--from-earliest"],
    "pause": ["--note", "an import runs"],
    "grants": ["--backend", "shop", "--relay", "relay", "--apply"],
}


@pytest.mark.parametrize(("program", "command"), [*commands_that_read_settings()])
def test_every_command_validates_what_it_reads(monkeypatch: pytest.MonkeyPatch, program: str, command: str) -> None:
    set_to(monkeypatch, {"DATABASE_URL": "secret", "KAFKA_PARTITIONS": "secret", "LOG_LEVEL": "secret"})
    commands = {"producer": producer_commands, "consumer": consumer_commands}[program]

    done = CliRunner().invoke(commands, [command, *ARGUMENTS.get(command, [])])

    assert done.exit_code == 2
    assert "LOG_LEVEL: " in done.output
    assert "DATABASE_URL: " in done.output or "KAFKA_PARTITIONS: " in done.output
    assert "secret" not in done.output


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"HUBSPOT_SEND_LIVE": "true"}, "HUBSPOT_SEND_LIVE is true but HUBSPOT_ENABLED is not"),
        ({"HUBSPOT_API_BASE_URL": "http://api.hubapi.com"}, "HUBSPOT_API_BASE_URL: HubSpot needs https://"),
        ({"HUBSPOT_API_BASE_URL": "http://api-eu1.HubAPI.com./"}, "HUBSPOT_API_BASE_URL: HubSpot needs https://"),
        ({"HUBSPOT_API_BASE_URL": "http://api.hubspot.com:443"}, "HUBSPOT_API_BASE_URL: HubSpot needs https://"),
        ({"HUBSPOT_PRIVATE_APP_TOKEN": "two words"}, "HUBSPOT_PRIVATE_APP_TOKEN: holds white space"),
    ],
)
@pytest.mark.parametrize(
    "command", [command for program, command in commands_that_read_settings() if program != "producer"]
)
def test_every_command_of_the_consumer_keeps_the_rule_of_live(
    monkeypatch: pytest.MonkeyPatch, command: str, changes: dict[str, str], named: str
) -> None:
    set_to(monkeypatch, {**KAFKA, **changes})

    done = CliRunner().invoke(consumer_commands, [command, *ARGUMENTS.get(command, [])])

    assert done.exit_code == 2
    assert named in done.output
    assert "two words" not in done.output


def test_a_log_level_is_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, {"LOG_LEVEL": "DEBUG"})

    assert ConsumerSettings().log_level == "debug"


def test_every_class_of_settings_is_frozen_and_of_one_kind() -> None:
    kinds = [BaseSettings]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = [kind for kind in kinds if kind.__module__.startswith(("producer", "hubspot_consumer", "runtime"))]

    assert len(ours) > 5
    assert all(issubclass(kind, ServiceSettings) and kind.model_config["frozen"] for kind in ours)
