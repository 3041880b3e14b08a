"""Wrong settings: a line for each variable, exit code 2, no traceback, no secret."""

from typing import Any

import pytest
from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from console.__main__ import commands as console_commands
from hubspot_consumer.__main__ import commands as consumer_commands
from producer.__main__ import commands as producer_commands
from runtime.program import Later, loaded
from sandbox.__main__ import commands as sandbox_commands
from tests.commands import run

PROGRAMS = {
    "producer": producer_commands,
    "hubspot_consumer": consumer_commands,
    "console": console_commands,
    "sandbox": sandbox_commands,
}

KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}
LIVE = KAFKA | {
    "HUBSPOT_ENABLED": "true",
    "HUBSPOT_SEND_LIVE": "true",
    "HUBSPOT_PRIVATE_APP_TOKEN": "pat-na1-secret",
    "HUBSPOT_PORTAL_ID": "1",
}
TOKENS = KAFKA | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
DATABASE = {"DATABASE_URL": "postgresql://me:secret@localhost/db"}
SERVED = DATABASE | KAFKA
SQLALCHEMY = "postgresql+asyncpg://me:secret@localhost/db?ssl=require"
SIGNED_IN = KAFKA | {"CONSOLE_OPERATOR_TOKEN": "secret" * 6}


@pytest.mark.usefixtures("none_of_ours", "own_logs")
@pytest.mark.parametrize(
    ("command", "environment", "named"),
    [
        ("producer relay", {}, "DATABASE_URL: is not set"),
        ("producer relay", DATABASE, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
        ("producer migrate", {}, "DATABASE_URL: is not set"),
        ("producer migrate", {"DATABASE_URL": "mysql://me:secret@localhost/db"}, "DATABASE_URL: should begin with"),
        ("producer migrate", {"DATABASE_URL": "secret"}, "DATABASE_URL: is not a URL"),
        (
            "producer relay",
            KAFKA | {"DATABASE_URL": f"{DATABASE['DATABASE_URL']}?secret=1"},
            "DATABASE_URL: has an option",
        ),
        ("producer import-outbox", {}, "DATABASE_URL: is not set"),
        *(
            (
                command,
                SIGNED_IN | {"DATABASE_URL": SQLALCHEMY},
                "DATABASE_URL: should begin with postgresql://, without",
            )
            for command in (
                "producer migrate",
                "producer relay",
                "producer serve",
                "producer import-outbox",
                "producer recover",
                "producer recover --emails",
                "producer debezium-config",
                "console serve",
            )
        ),
        (
            "producer serve",
            SERVED | {"RELAY_DATABASE_URL": SQLALCHEMY},
            "RELAY_DATABASE_URL: should begin with postgresql://, without",
        ),
        ("producer relay", SERVED | {"RELAY_DATABASE_URL_FILE": "/nowhere"}, "RELAY_DATABASE_URL_FILE: /nowhere can't"),
        ("producer recover", {}, "DATABASE_URL: is not set"),
        ("producer recover", DATABASE, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
        ("producer topics", KAFKA | {"KAFKA_PARTITIONS": "0"}, "KAFKA_PARTITIONS: "),
        ("producer topics", {"KAFKA_BOOTSTRAP_SERVERS": "localhost"}, "KAFKA_BOOTSTRAP_SERVERS: should be host:port"),
        ("producer topics", KAFKA | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        ("producer topics", {"KAFKA_BOOTSTRAP_SERVERS": "http://k:1"}, "KAFKA_BOOTSTRAP_SERVERS: should be host:port"),
        ("producer topics", {"KAFKA_BOOTSTRAP_SERVERS": "SSL://k:1,k:2"}, "name several protocols: name one"),
        ("producer topics", {"KAFKA_BOOTSTRAP_SERVERS": "SSL://k:1,PLAINTEXT://k:2"}, "name several protocols"),
        (
            "producer topics",
            {"KAFKA_BOOTSTRAP_SERVERS": "SSL://k:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
            "KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL name several protocols",
        ),
        ("producer topics", KAFKA | {"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL: Input should be"),
        ("producer topics", TOKENS | {"KAFKA_SASL_MECHANISM": "KERBEROS"}, "KAFKA_SASL_MECHANISM: Input should be"),
        ("producer topics", TOKENS, "needs KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL and KAFKA_SASL_OAUTHBEARER_CLI"),
        (
            "producer topics",
            TOKENS | {"KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "issuer/token"},
            "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: ",
        ),
        (
            "producer topics",
            TOKENS | {"KAFKA_SASL_OAUTHBEARER_EXTENSIONS": "secret"},
            "KAFKA_SASL_OAUTHBEARER_EXTENSIONS: ",
        ),
        (
            "producer topics",
            TOKENS | {"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"},
            "and this needs AWS_REGION",
        ),
        ("producer topics", KAFKA | {"KAFKA_SSL_CERTFILE": "/nowhere"}, "KAFKA_SSL_CERTFILE: /nowhere can't be read"),
        ("producer topics", KAFKA | {"KAFKA_SSL_KEYFILE": "/nowhere"}, "KAFKA_SSL_CERTFILE is not"),
        ("producer debezium-config", KAFKA, "DATABASE_URL: is not set"),
        ("producer debezium-config", {"DATABASE_URL": "postgresql:///db"}, "DATABASE_URL: names no host"),
        ("producer serve", DATABASE | KAFKA | {"PRODUCER_PORT": "secret"}, "PRODUCER_PORT: "),
        ("producer serve", SERVED | {"PRODUCER_INTAKE_TOKEN": "secret"}, "PRODUCER_INTAKE_TOKEN: each token"),
        ("producer serve", SERVED | {"PRODUCER_INTAKE_TOKEN": f"{'secret' * 6}, "}, "PRODUCER_INTAKE_TOKEN: "),
        ("producer serve", SERVED | {"PRODUCER_INTAKE_TOKEN": "a secret of words " * 3}, "PRODUCER_INTAKE_TOKEN: "),
        ("hubspot_consumer worker", {"HUBSPOT_ENABLED": "perhaps"}, "HUBSPOT_ENABLED: "),
        ("hubspot_consumer worker", {"HUBSPOT_SEND_LIVE": "true"}, "set HUBSPOT_ENABLED=true"),
        ("hubspot_consumer worker", {"HUBSPOT_ENABLED": "true"}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_PRIVATE_APP_TOKEN": ""}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_PORTAL_ID": ""}, "HUBSPOT_PORTAL_ID is not set"),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_PORTAL_ID": "secret"}, "HUBSPOT_PORTAL_ID: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_API_VERSION": "v2"}, "HUBSPOT_API_VERSION: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_RATE_LIMIT": "0"}, "HUBSPOT_RATE_LIMIT: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_ID_PROPERTY": "Nerava Key"}, "HUBSPOT_ID_PROPERTY: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_ID_PROPERTY": "1_key"}, "HUBSPOT_ID_PROPERTY: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_ID_PROPERTY": "nerava_contact_key"}, "HUBSPOT_ID_PROPERTY: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_ID_PROPERTY": "phone"}, "HUBSPOT_ID_PROPERTY: "),
        ("hubspot_consumer worker", LIVE | {"HUBSPOT_ID_PROPERTY": "hs_additional_emails"}, "HUBSPOT_ID_PROPERTY: "),
        ("hubspot_consumer provision --backfill", LIVE, "HUBSPOT_ID_PROPERTY is email"),
        (
            "hubspot_consumer worker",
            LIVE | {"KAFKA_SSL_CAFILE": "/nowhere", "KAFKA_SECURITY_PROTOCOL": "SSL"},
            "KAFKA_SSL_CAFILE: ",
        ),
        ("console serve", {}, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
        ("console serve", KAFKA | {"CONSOLE_OPERATOR_TOKEN": "secret"}, "CONSOLE_OPERATOR_TOKEN: should have at least"),
        ("console serve", SIGNED_IN | {"CONSOLE_READER_TOKEN": "secret" * 6}, "must differ"),
        (
            "console serve",
            SIGNED_IN | {"CONSOLE_CONSUMERS": "http://w:99999"},
            "CONSOLE_CONSUMERS: should be addresses",
        ),
        ("console serve", SIGNED_IN | {"CONSOLE_PRODUCERS": "http://w:port"}, "CONSOLE_PRODUCERS: should be addresses"),
        ("console serve", SIGNED_IN | {"CONSOLE_PROXY_HEADER": "X-User"}, "CONSOLE_TRUSTED_PROXIES is not set"),
        ("console serve", SIGNED_IN | {"CONSOLE_HOST": "everywhere"}, "CONSOLE_HOST: "),
        ("console serve", SIGNED_IN | {"CONSOLE_PROXY_HEADER": "X User"}, "CONSOLE_PROXY_HEADER: should be the name"),
        ("console serve", SIGNED_IN | {"CONSOLE_TRUSTED_PROXIES": "10.0.0.1/8"}, "CONSOLE_TRUSTED_PROXIES: should be"),
        (
            "console serve",
            SIGNED_IN | {"CONSOLE_CONSUMERS": "localhost:8081"},
            "CONSOLE_CONSUMERS: should be addresses",
        ),
        ("console serve", SIGNED_IN | {"DATABASE_URL": "secret"}, "DATABASE_URL: is not a URL"),
        ("console serve", SIGNED_IN | {"HUBSPOT_SEND_LIVE": "true"}, "set HUBSPOT_ENABLED=true"),
        ("hubspot_consumer provision", {}, "HUBSPOT_PRIVATE_APP_TOKEN is not set"),
        ("hubspot_consumer dead-letters list", {}, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
        ("hubspot_consumer dead-letters export", {}, "KAFKA_BOOTSTRAP_SERVERS: is not set"),
    ],
)
def test_a_wrong_setting_is_named_and_ends_with_2(command: str, environment: dict[str, str], named: str) -> None:
    program, *names = command.split()

    done = CliRunner(env=environment).invoke(PROGRAMS[program], names)

    assert done.exit_code == 2
    assert any(named in line for line in done.stderr.splitlines()), done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["producer relay", "hubspot_consumer provision"])
async def test_a_wrong_setting_shows_no_traceback(command: str) -> None:
    done = await run(*command.split())

    assert done.code == 2
    assert "is not set" in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_teaches_each_command_without_any_setting(program: str) -> None:
    _teaches(PROGRAMS[program], get_command(PROGRAMS[program]))


def _teaches(program: Typer, part: Any, *path: str) -> None:
    listed = CliRunner().invoke(program, [*path, "--help"])
    assert listed.exit_code == 0
    for name, known in part.commands.items():
        assert name in listed.stdout
        command = loaded(known.where, name) if isinstance(known, Later) else known
        if isinstance(command, TyperGroup):
            _teaches(program, command, *path, name)
            continue
        helped = CliRunner().invoke(program, [*path, name, "--help"])
        assert helped.exit_code == 0
        assert (command.help or "?").split(".")[0].split()[0] in helped.stdout


async def test_nothing_answers_at_the_database_or_the_brokers_is_one_clear_line() -> None:
    nobody = "127.0.0.1:1"

    migrated = await run("producer", "migrate", environment={"DATABASE_URL": f"postgresql://me:secret@{nobody}/db"})
    created = await run("producer", "topics", environment={"KAFKA_BOOTSTRAP_SERVERS": nobody})

    assert (migrated.code, created.code) == (1, 1)
    assert migrated.errors.startswith("DATABASE_URL: ")
    assert "KAFKA_BOOTSTRAP_SERVERS: no broker answers at 127.0.0.1:1" in created.errors
    assert "Traceback" not in migrated.errors + created.errors
    assert "secret" not in migrated.errors
