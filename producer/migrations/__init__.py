"""The migrations of the outbox. They keep their own version table: the backend may use alembic too."""

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from producer.signals import MIGRATION_LOCK


def migrate(database_url: str) -> None:
    """Bring the database up to date, in one transaction; if it is, do nothing. Raises sqlalchemy.exc.DBAPIError."""
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        # Two containers that start at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


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
