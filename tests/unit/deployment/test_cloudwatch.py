"""The runbook's queries for CloudWatch: they ask for what our lines have, and find what starts wrongly."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from hubspot_consumer.__main__ import commands as consumer_commands
from producer.__main__ import commands as producer_commands
from runtime.log_names import LogName

ROOT = Path(__file__).parents[3]
SECTION = (ROOT / "docs" / "runbook.md").read_text().partition("## CloudWatch\n")[2].partition("\n## ")[0]
QUERIES = re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)
# Of the query language.
WORDS = {"fields", "filter", "stats", "sort", "limit", "as", "by", "and", "or", "in", "like", "desc", "asc"}
FUNCTIONS = {"count", "sum", "max", "bin"}
KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092"}


def names_in(query: str) -> Iterator[str]:
    """Yield the fields that a query reads; what it names itself by `as` is not one of them."""
    without_values = re.sub(r'"[^"]*"|/(?:[^/\\]|\\.)*/', "", query)
    own = set(re.findall(r"\bas (\w+)", without_values))
    for name in re.findall(r"(?<![@\w])[a-z_]+\b", without_values):
        if name not in WORDS | FUNCTIONS | own and not re.search(rf"\b\d+{name}\b", without_values):
            yield name


def test_queries_ask_for_fields_that_are_explained() -> None:
    asked = {name for query in QUERIES for name in names_in(query)}

    assert len(QUERIES) > 10
    assert {"delivered", "lag", "oldest_s", "correlation_id", "missing_to"} <= asked
    explained = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "logs.md").read_text()))
    assert asked - explained == set()


def test_queries_ask_for_names_of_the_list() -> None:
    quoted = {name for query in QUERIES for name in re.findall(r'"([a-z_]+\.[a-z_]+)"', query)}

    assert len(quoted) > 8
    assert quoted <= set(get_args(LogName))


@pytest.mark.usefixtures("none_of_ours")
@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("producer relay", {}),
        ("producer serve", {"DATABASE_URL": "mysql://", "PRODUCER_PORT": "x", "OUTBOX_RETENTION_H": "x"}),
        ("producer serve", {"DATABASE_URL_FILE": "/nowhere", "PRODUCER_INTAKE_TOKEN": "x", "LOG_LEVEL": "x"}),
        ("consumer worker", {"HUBSPOT_SEND_LIVE": "true"}),
        ("consumer worker", {"HUBSPOT_ENABLED": "true"}),
        ("consumer worker", KAFKA | {"HUBSPOT_ENABLED": "true", "HUBSPOT_SEND_LIVE": "true"}),
        ("consumer worker", {"HUBSPOT_PRIVATE_APP_TOKEN": "x", "HUBSPOT_PRIVATE_APP_TOKEN_FILE": "/nowhere"}),
        ("consumer worker", {"DEAD_LETTER_LIMIT": "0", "CONSUMER_PORT": "x", "KAFKA_SECURITY_PROTOCOL": "x"}),
        ("consumer worker", KAFKA | {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}),
    ],
)
def test_each_line_of_a_wrong_start_is_found(command: str, environment: Mapping[str, str]) -> None:
    [pattern] = {found for query in QUERIES for found in re.findall(r"like /(.*?)/", query)}
    program, name = command.split()
    commands = {"producer": producer_commands, "consumer": consumer_commands}[program]

    lines = CliRunner(env=environment).invoke(commands, [name]).stderr.splitlines()

    assert lines
    assert all(re.search(pattern, line) for line in lines), lines
