"""What a command imports: what it needs, when it runs."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.__main__ import COMMANDS as CONSOLE
from hubspot_consumer.__main__ import COMMANDS as CONSUMER
from producer.__main__ import COMMANDS as PRODUCER
from runtime.program import loaded
from tests.commands import OURS

ROOT = Path(__file__).parents[3]
PROGRAMS = {"producer": PRODUCER, "hubspot_consumer": CONSUMER, "console": CONSOLE}
HEAVY = ("aiohttp", "aiokafka", "alembic", "fastapi", "faust", "httpx", "psycopg", "pydantic_settings", "sqlalchemy")
# Runs a program as `python -m` does, then tells which of the heavy libraries it has imported.
RUN = f"""
import runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__")
finally:
    print("imported:", *(name for name in {HEAVY} if name in sys.modules))
"""


def imported(*command: str) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return set(done.stdout.splitlines()[-1].removeprefix("imported:").split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_none_of_the_libraries_that_the_commands_are_made_of(program: str) -> None:
    assert imported(program, "--help") == set()


def test_a_pause_imports_a_kafka_client_and_no_faust_no_http_and_no_database() -> None:
    assert imported("hubspot_consumer", "pause", "--note", "an import runs") == {"aiokafka", "pydantic_settings"}


def test_the_relays_help_imports_no_faust_and_the_workers_no_database() -> None:
    assert imported("producer", "relay", "--help").isdisjoint({"aiohttp", "faust"})
    assert imported("hubspot_consumer", "worker", "--help").isdisjoint({"alembic", "psycopg", "sqlalchemy"})


@pytest.mark.parametrize(("program", "name"), [(program, name) for program in PROGRAMS for name in PROGRAMS[program]])
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(program: str, name: str) -> None:
    where, line = PROGRAMS[program][name]
    command = loaded(where, name)

    assert " ".join(inspect.cleandoc(command.help).split("\n\n")[0].split()) == line
