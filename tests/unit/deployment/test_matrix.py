"""The matrix has a cell for each promised combination, and its table says of each whether it was run."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hubspot_consumer.doctor.versions import POSTGRESQL
from sandbox.processes import ProcessFailed
from sandbox.variants.postgres_programs import PostgresUnavailable
from upkeep.__main__ import commands
from upkeep.matrix import table
from upkeep.matrix.cells import ALL, Cell, UnknownCell, selected
from upkeep.matrix.trial import Outcome

PASSED = Outcome("PostgreSQL 14.23, Kafka 3.3", demo=True, order=True, failover=True, seconds=30)
ONE = ("--postgres", "oldest", "--pooler", "transaction", "--kafka", "oldest")


def test_there_is_a_cell_for_each_promised_combination() -> None:
    assert len(set(ALL)) == 30
    assert {cell.postgres for cell in ALL} == set(range(POSTGRESQL.oldest[0], POSTGRESQL.newest[0] + 1))


def test_options_name_single_cells_or_rows() -> None:
    assert list(selected(["oldest"], ["transaction"], ["oldest"])) == [Cell(14, "transaction", "oldest")]
    assert len(list(selected(["15", "16"], [], ["newest"]))) == 6
    assert len(list(selected([], [], []))) == 30


@pytest.mark.parametrize("option", [(["13"], [], []), ([], ["statement"], []), ([], [], ["4.1.0"])])
def test_an_unknown_value_is_refused_with_those_that_there_are(option: tuple[list[str], ...]) -> None:
    with pytest.raises(UnknownCell, match="is none of "):
        list(selected(*option))


def test_the_documents_table_is_made_of_the_results() -> None:
    text = table.DOCUMENT.read_text()

    assert table.in_document(text, table.read_results()) == text


def test_a_cell_that_was_not_run_says_so_and_a_failed_one_too() -> None:
    failed = {"demo": True, "order": True, "failover": False, "day": "2026-11-30", "remarks": "failover: 3 lost"}

    lines = list(table.lines({"14 direct oldest": failed}))

    assert "| 14 | direct | yes | yes | **no** | not run | not run | not run |" in lines
    assert lines[-2:] == [
        "1 of 30 cells were run on 2026-11-30.",
        "- PostgreSQL 14, direct, Kafka 3.3.2: failover: 3 lost.",
    ]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    document = tmp_path / "versions.md"
    document.write_text(f"before\n{table.BEGIN}{table.END}after\n")
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(table, "DOCUMENT", document)
    monkeypatch.chdir(tmp_path)
    return document


def with_outcome(monkeypatch: pytest.MonkeyPatch, outcome: Outcome | Exception) -> None:
    async def run(_: Any) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("upkeep.matrix.command.Trial.run", run)


def test_a_run_adds_its_cell_to_the_table(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    with_outcome(monkeypatch, PASSED)

    done = CliRunner().invoke(commands, ["matrix", *ONE, "--write"])

    assert done.exit_code == 0, done.output
    assert "PostgreSQL 14, transaction, Kafka 3.3.2: demo ok, order ok, failover ok; 30 s" in done.output
    assert "| 14 | PgBouncer, transaction mode; the relay direct | yes | yes | yes |" in results.read_text()
    assert results.read_text().startswith("before\n")
    assert results.read_text().endswith("after\n")


def test_without_write_the_table_stays(monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    with_outcome(monkeypatch, PASSED)
    before = results.read_text()

    assert CliRunner().invoke(commands, ["matrix", *ONE]).exit_code == 0
    assert results.read_text() == before


@pytest.mark.parametrize(
    ("outcome", "options", "code", "words"),
    [
        (ProcessFailed("producer ended with code 2\nmore"), (), 1, "demo FAILED"),
        (Outcome("", demo=True, order=False, failover=True, seconds=9), (), 1, "order FAILED"),
        (PostgresUnavailable("npm is not installed"), (), 3, "NOT RUN (npm is not installed)"),
        (PostgresUnavailable("npm is not installed"), ("--where-available",), 0, "NOT RUN"),
    ],
)
def test_a_failed_cell_fails_the_command_and_a_missing_server_only_where_asked(
    monkeypatch: pytest.MonkeyPatch,
    results: Path,
    outcome: Outcome | Exception,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    with_outcome(monkeypatch, outcome)

    done = CliRunner().invoke(commands, ["matrix", *ONE, *options])

    assert done.exit_code == code
    assert words in done.output
