"""`python -m producer migrate`: the outbox, in the backend's database."""

from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from producer.migrations import NameTaken, migration_sql
from producer.migrations import migrate as migrate_database
from producer.settings import DatabaseSettings
from runtime.commands import fail, start_command


def migrate(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL for an empty database instead.")] = False,
) -> None:
    """Create or update the outbox's tables and functions in DATABASE_URL. Does nothing if they are up to date."""
    if dry_run:
        print(migration_sql())
        return
    settings = start_command(DatabaseSettings, log_level="warning")
    try:
        found = migrate_database(settings.database())
    except DBAPIError as error:
        fail(f"DATABASE_URL: {str(error.orig).strip().splitlines()[0]}")
    except NameTaken as error:
        fail(str(error))
    print(*found, "the outbox is up to date", sep="\n")
