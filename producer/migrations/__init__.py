"""The migrations of the outbox. They keep their own version table: the backend may use alembic too."""

import io
from pathlib import Path
from typing import Final, cast

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from producer.relay.signals import MIGRATION_LOCK

VERSION_TABLE: Final = "outbox_alembic_version"


# A table, or a view, that another program made: in a database of ours the versions stand beside the outbox.
NAME_TAKEN: Final = f"SELECT to_regclass('outbox_events') IS NOT NULL AND to_regclass('{VERSION_TABLE}') IS NULL"


class NameTaken(RuntimeError):
    """The database has an `outbox_events` that is not ours, as the worker had that this replaces."""

    def __init__(self) -> None:
        super().__init__(
            "DATABASE_URL: the database has an outbox_events already, which is not ours: the old worker's, most likely."
            " It needs another name first: docs/moving-over.md says how, with the backend running"
        )


def migrate(database_url: str) -> list[str]:
    """Bring the database up to date, in one transaction; if it is, do nothing. Raises DBAPIError, and NameTaken.

    Return what the migrations found in the data, line by line.
    """
    found: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "INFO":
            found.append(diagnostic.message_primary or "")

    engine = create_engine(
        make_url(database_url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        # In a database with the encoding SQL_ASCII psycopg would answer in bytes before a migration can refuse it.
        connect_args={"client_encoding": "utf8"},
    )
    with engine.begin() as connection:
        # Two containers that start at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        if connection.scalar(text(NAME_TAKEN)):
            raise NameTaken
        cast("psycopg.Connection", connection.connection.driver_connection).add_notice_handler(note)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return found


def migration_sql() -> str:
    """Return the whole of what `migrate` runs on an empty database."""
    script = io.StringIO()
    config = _config()
    config.output_buffer = script
    command.upgrade(config, "head", sql=True)
    return script.getvalue()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
