"""The migrations of the outbox. They have their own version table, because the backend may use alembic too.

They have no way back: that would lose events, or let events be published twice.
"""

import io
from pathlib import Path
from typing import Final, cast

import psycopg
from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import text

from producer.engine import engine_of
from schemas.outbox import ASLEEP, ASLEEP_LOCK, CHANNEL, MIGRATION_LOCK

FOLDER: Final = Path(__file__).parent
VERSION_TABLE: Final = "outbox_alembic_version"

# A table or view of another program has the name: our own outbox always has the version table beside it.
NAME_TAKEN: Final = f"SELECT to_regclass('outbox_events') IS NOT NULL AND to_regclass('{VERSION_TABLE}') IS NULL"


# The schema that OUTBOX_SCHEMA names, quoted, if it is not there. A role that may create none can use one that is.
SCHEMA_TO_MAKE: Final = """
SELECT quote_ident(name) FROM (SELECT nullif(current_setting('nerava.schema', true), '') AS name) AS chosen
WHERE name IS NOT NULL AND to_regnamespace(quote_ident(name)) IS NULL
"""


class NameTaken(RuntimeError):
    """The database has an `outbox_events` that is not ours, as the old worker had."""


def migrate(database_url: str) -> list[str]:
    """Migrate the database to the newest version, in one transaction. Raises DBAPIError, and NameTaken.

    Return the migrations' messages about the data, line by line.
    """
    found: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "INFO":
            found.append(diagnostic.message_primary or "")

    with engine_of(database_url).begin() as connection:
        # The lock serialises two containers that start at the same time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        if (schema := connection.scalar(text(SCHEMA_TO_MAKE))) is not None:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        if connection.scalar(text(NAME_TAKEN)):
            raise NameTaken(
                "DATABASE_URL: the database has an outbox_events already, which is not ours: the old worker's, most"
                " likely. It needs another name first: docs/moving-over.md says how, with the backend running"
            )
        cast("psycopg.Connection", connection.connection.driver_connection).add_notice_handler(note)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return found


def migration_sql() -> str:
    """Return all SQL that `migrate` runs on an empty database."""
    script = io.StringIO()
    config = _config()
    config.output_buffer = script
    command.upgrade(config, "head", sql=True)
    return script.getvalue()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config


def run(name: str, **values: str) -> None:
    """Run the SQL file *name* of a migration, or print it if alembic makes a script.

    Its placeholders get *values*, and the relay's lock and channel.
    """
    statements = (FOLDER / "versions" / name).read_text()
    asleep_lock = ASLEEP_LOCK if context.is_offline_mode() else op.get_bind().scalar(text(f"SELECT {ASLEEP}"))
    for place, value in {"asleep_lock": str(asleep_lock), "channel": CHANNEL, **values}.items():
        statements = statements.replace(f"{{{place}}}", value)
    if context.is_offline_mode():
        op.get_context().impl.static_output(statements)
    else:
        # The statements are passed unchanged: SQLAlchemy would treat `:MI` and `%s` in them as parameters.
        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)
