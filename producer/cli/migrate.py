"""`python -m producer migrate`: the outbox, in the backend's database."""

import logging
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from producer.migrations import NameTaken, migration_sql
from producer.migrations import migrate as migrate_database
from producer.settings import DatabaseSettings
from runtime import logs
from runtime.commands import fail, read_settings


def migrate(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL for an empty database instead.")] = False,
) -> None:
    """Create or update the outbox's tables and functions in DATABASE_URL. Does nothing if they are up to date."""
    if dry_run:
        print(migration_sql())
        return
    settings = read_settings(DatabaseSettings)
    logs.set_up(level=logging.WARNING, secrets=settings.secrets)
    try:
        found = migrate_database(settings.database_url.get_secret_value())
    except DBAPIError as error:
        fail(f"DATABASE_URL: {str(error.orig).strip().splitlines()[0]}")
    except NameTaken as error:
        fail(str(error))
    print(*found, "the outbox is up to date", sep="\n")
