"""Every example runs as it stands, and leaves a business row and its event: see `examples/`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from sandbox.postgres import program
from tests.foreign.toolchains import WITHIN_S, cached, fetch, succeed, toolchain

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def shop_url(database_url: str) -> str:
    """A database with the business's own table, and two drivers who have signed up."""
    with psycopg.connect(database_url) as db:
        db.execute("CREATE TABLE rewards (user_id text NOT NULL, amount_cents bigint NOT NULL)")
        db.execute(
            "SELECT track_lifecycle_event('driver_signed_up',"
            " jsonb_build_object('user_id', 'usr_' || n, 'email', 'driver' || n || '@example.com'))"
            " FROM generate_series(42, 43) AS n"
        )
        db.execute("DELETE FROM outbox_events")
    return database_url


@pytest.mark.parametrize("name", ["python_sync.py", "python_async.py", "python_psycopg.py"])
def test_python_examples_write_the_reward_and_its_event(shop_url: str, name: str) -> None:
    assert_rewarded(shop_url, run([sys.executable, EXAMPLES / name], shop_url))


def test_the_example_of_several_contacts_writes_the_rewards_and_their_events(shop_url: str) -> None:
    assert_rewarded(shop_url, run([sys.executable, EXAMPLES / "python_several.py"], shop_url), users=(42, 43))


def test_the_example_in_plain_sql_writes_the_reward_and_its_event(shop_url: str) -> None:
    command: list[str | Path] = [
        program("psql"),
        shop_url,
        "-XqAt",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        EXAMPLES / "plain.sql",
    ]

    assert_rewarded(shop_url, run(command, shop_url))


@pytest.mark.timeout(WITHIN_S + 60)
def test_the_node_example_writes_the_reward_and_its_event(shop_url: str) -> None:
    node, npm = toolchain("node"), toolchain("npm")
    installed = cached("node", [EXAMPLES / "node" / name for name in ("package.json", "package-lock.json", ".npmrc")])
    if not (installed / "node_modules" / ".package-lock.json").exists():
        fetch([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], installed)
    shutil.copy(EXAMPLES / "node" / "reward.js", installed)

    assert_rewarded(shop_url, run([node, "reward.js"], shop_url, folder=installed))


@pytest.mark.chaos
@pytest.mark.timeout(WITHIN_S + 60)
def test_the_go_example_writes_the_reward_and_its_event(shop_url: str) -> None:
    go = toolchain("go")
    built = cached("go", [EXAMPLES / "go" / name for name in ("go.mod", "go.sum", "main.go")])
    shutil.copy(EXAMPLES / "go" / "main.go", built)
    if not (built / "reward").exists():
        fetch([go, "mod", "download"], built)
        succeed([go, "build", "-o", "reward", "."], built)

    assert_rewarded(shop_url, run([built / "reward"], shop_url))


def assert_rewarded(url: str, printed: str, users: Sequence[int] = (42,)) -> None:
    with psycopg.connect(url) as db:
        rewards = db.execute("SELECT user_id, amount_cents FROM rewards ORDER BY user_id").fetchall()
        events = db.execute("SELECT id, aggregateid, type, sequence FROM outbox_events ORDER BY position").fetchall()
    assert rewards == [(f"usr_{user}", 500) for user in users]
    assert [event[1:] for event in events] == [(f"driver{user}@example.com", "nova_earned", 2) for user in users]
    assert [event[0] for event in events] == [UUID(line) for line in printed.split()]


def run(command: Sequence[str | Path], url: str, folder: Path = EXAMPLES.parent) -> str:
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
