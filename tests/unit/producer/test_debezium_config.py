"""`python -m producer debezium-config`: what it prints, and that it prints no secret."""

import json
import os
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner, Result

from producer.__main__ import commands
from producer.debezium import Connector
from schemas.topics import Topics
from tests.commands import OURS

URL = "postgresql://me:hush@db.example.com:5433/nerava?sslmode=verify-full&connect_timeout=3"
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "me",
    "KAFKA_SASL_PASSWORD": "hush",
    "KAFKA_TOPIC_PREFIX": "crm-1.",
    "KAFKA_PARTITIONS": "6",
    "KAFKA_REPLICATION_FACTOR": "3",
}


def printed(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    ours = {name: None for name in os.environ if name.startswith(OURS)}
    environment = environment or {"DATABASE_URL": URL}
    return CliRunner(env={**ours, **environment}).invoke(commands, ["debezium-config", *arguments])


def test_the_connector_is_printed_as_connect_takes_it() -> None:
    done = printed(environment={"DATABASE_URL": URL, **SASL})

    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told == {"name": "lifecycle-outbox", "config": Connector().config(URL, Topics("crm-1."), 6, 3)}
    assert told["config"]["database.hostname"] == "db.example.com"
    assert told["config"]["database.port"] == "5433"
    assert told["config"]["database.sslmode"] == "verify-full"
    assert told["config"]["transforms.outbox.route.topic.replacement"] == "crm-1.${routedByValue}"


@pytest.mark.parametrize("show", ["connector", "setup", "cleanup"])
def test_no_password_is_ever_printed(show: str) -> None:
    done = printed(show, environment={"DATABASE_URL": URL, **SASL})

    assert done.exit_code == 0
    assert "hush" not in done.stdout
    assert Connector().config(URL, Topics())["database.password"] == "${env:DATABASE_PASSWORD}"


def test_names_that_are_given_are_used_and_quoted_where_sql_needs_it() -> None:
    options = ["--user", 'De"b', "--schema", "crm", "--publication", "outbox", "--slot", "mine"]
    setup, cleanup = printed("setup", *options).stdout, printed("cleanup", *options).stdout

    assert 'GRANT SELECT ON crm.outbox_events TO "De""b";' in setup
    assert "CREATE PUBLICATION outbox FOR TABLE crm.outbox_events WITH (publish = 'insert');" in setup
    assert "slot.slot_name = 'mine'" in cleanup
    config = json.loads(printed(*options).stdout)["config"]
    assert (config["database.user"], config["slot.name"], config["publication.name"]) == ('De"b', "mine", "outbox")


@pytest.mark.parametrize(
    ("arguments", "url", "named"),
    [
        (["--password", "hush"], URL, "--password: should be a placeholder"),
        (["--slot", "My-Slot"], URL, "--slot: "),
        (["--name", "a name"], URL, "--name: "),
        ([], "postgresql:///nerava?host=/run/postgresql", "DATABASE_URL: names no host"),
        ([], "postgresql://%2Frun%2Fpostgresql/nerava", "DATABASE_URL: names no host"),
        ([], "postgresql://me@one.example.com,two.example.com/nerava", "DATABASE_URL: names several hosts"),
        ([], "postgresql://db.example.com/nerava", "DATABASE_URL: names no user"),
    ],
)
def test_what_debezium_can_not_do_with_is_named_and_ends_with_2(arguments: list[str], url: str, named: str) -> None:
    done = printed(*arguments, environment={"DATABASE_URL": url})

    assert done.exit_code == 2
    assert named in done.stderr
    assert "hush" not in done.stdout + done.stderr
