"""A backend with alembic of its own: what `revision --autogenerate` writes beside the outbox's tables."""

import subprocess
import sys
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from producer.autogenerate import TABLES

MODELS = """
from sqlalchemy import Column, Integer, MetaData, Table

metadata = MetaData()
rewards = Table("rewards", metadata, Column("id", Integer, primary_key=True))
{more}
"""
ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine

from models import metadata
{importing}

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata{option})
    with context.begin_transaction():
        context.run_migrations()
"""
OURS = ENVIRONMENT.format(
    importing="from producer.autogenerate import include_object", option=", include_object=include_object"
)
NOTHING = ENVIRONMENT.format(importing="", option="")


def revision(folder: Path, database_url: str, environment: str, more: str = "") -> str:
    """Return the migration that alembic makes for a backend with these models."""
    folder.mkdir(exist_ok=True)
    url = make_url(database_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    def alembic(*arguments: str) -> None:
        command = [sys.executable, "-m", "alembic", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    alembic("init", "migrations")
    (folder / "models.py").write_text(MODELS.format(more=more))
    (folder / "migrations" / "env.py").write_text(environment)
    configuration = (folder / "alembic.ini").read_text()
    given = "\n".join(
        f"sqlalchemy.url = {url}" if line.startswith("sqlalchemy.url") else line for line in configuration.splitlines()
    )
    (folder / "alembic.ini").write_text(given.replace("prepend_sys_path = .", f"prepend_sys_path = .:{Path.cwd()}"))
    alembic("revision", "--autogenerate", "-m", "rewards")
    [made] = (folder / "migrations" / "versions").glob("*.py")
    return made.read_text()


def test_a_revision_leaves_the_outbox_alone(database_url: str, tmp_path: Path) -> None:
    made = revision(tmp_path, database_url, OURS)

    assert "op.create_table('rewards'" in made
    assert "outbox" not in made


def test_without_our_function_alembic_drops_the_outbox(database_url: str, tmp_path: Path) -> None:
    made = revision(tmp_path, database_url, NOTHING)

    assert all(f"op.drop_table('{table}')" in made for table in TABLES)


def test_a_table_of_the_backend_that_has_the_name_of_one_of_ours_is_compared(database_url: str, tmp_path: Path) -> None:
    made = revision(tmp_path, database_url, OURS, 'Table("outbox_parked", metadata, Column("more", Integer))')

    assert "op.add_column('outbox_parked'" in made


async def test_every_table_of_ours_is_known(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        found = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {name for (name,) in await found.fetchall()} == TABLES
