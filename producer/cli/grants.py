"""`python -m producer grants`: what the role of each program needs, and no more."""

from typing import Annotated

import psycopg
import typer

from producer.migrations.grants import Roles
from producer.migrations.grants import apply as apply_grants
from producer.migrations.grants import grants as statements
from producer.settings import DatabaseSettings
from runtime.commands import fail, read_settings, start_command
from runtime.database import InSchema, why_refused


def grants(
    *,
    backend: Annotated[list[str], typer.Option(help="A role that tracks events, and nothing else. May be repeated.")],
    relay: Annotated[list[str], typer.Option(help="The role of `serve` and `relay`, with the intake.")],
    console: Annotated[list[str] | None, typer.Option(help="The role of the console and the doctor.")] = None,
    migrate: Annotated[
        str | None, typer.Option(help="The role of `migrate`, `recover` and `import-outbox`: it is to own the outbox.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Run the statements in DATABASE_URL.")] = False,
) -> None:
    """Print the SQL that gives each role what it needs of the outbox, and takes all else from it and from PUBLIC."""
    roles = Roles(backend, relay, console or (), migrate)
    if not apply:
        schema = read_settings(InSchema).outbox_schema or "public"
        print(*(f"{statement};" for statement in statements(roles, schema)), sep="\n")
        return
    settings = start_command(DatabaseSettings, log_level="warning")
    try:
        with psycopg.connect(settings.database(), prepare_threshold=None) as connection:
            more = apply_grants(connection, roles, settings.outbox_schema or "public")
    except psycopg.Error as error:
        fail(why_refused(error))
    print("each role has what it needs")
    if more:
        fail("\n".join(f"but the role {line}" for line in more))
