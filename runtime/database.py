"""The outbox's database: validation of its URL, options of connections, and read-only transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

CONNECT_WITHIN_S: Final = 5
_MISSING: Final = "a part of the outbox is missing: run `python -m producer migrate`, or restore what was dropped"
# What mends a refusal of the database, by its SQLSTATE.
MENDS: Final = {
    "25006": "the server is read-only, as a standby, a former primary or a full one is: lead to the primary",
    "42501": "the role lacks a right: docs/runbook.md lists those it needs",
    **dict.fromkeys(("3F000", "42P01", "42703", "42883"), _MISSING),
}


def of_postgresql(value: SecretStr) -> SecretStr:
    """Return the URL in libpq's syntax. Raises ValueError, without the URL, if it is not a URL of PostgreSQL."""
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL; it should be postgresql://user:password@host:port/name") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("should begin with postgresql://")
    # libpq supports neither SQLAlchemy's driver names nor its encodings of a space. libpq's error quotes what it can't
    # parse, including the password.
    rendered = url.set(drivername="postgresql").render_as_string(hide_password=False)
    where, mark, options = rendered.partition("?")
    usable = where.replace(" ", "%20") + mark + options.replace("+", "%20")
    try:
        conninfo_to_dict(usable)
    except psycopg.ProgrammingError:
        raise ValueError("has an option, or a sign after %, that PostgreSQL does not know") from None
    return SecretStr(usable)


def why_refused(error: psycopg.Error) -> str:
    """Return the first line of what the database said, which has host and user but no password, and what mends it."""
    words = str(error).strip().partition("\n")[0] or type(error).__name__
    mend = MENDS.get(error.sqlstate or "")
    return f"DATABASE_URL: {words}: {mend}" if mend else f"DATABASE_URL: {words}"


def connection_options(name: str, *, answer_within_s: float) -> dict[str, Any]:
    """Return libpq's parameters for a long-lived connection, which detect a host that is gone without closing it.

    *name* is for `pg_stat_activity`, and *answer_within_s* limits how long sent data may be unacknowledged.
    """
    return {
        "connect_timeout": CONNECT_WITHIN_S,
        "application_name": name,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(answer_within_s * 1000),
    }


@asynccontextmanager
async def reading(connection: psycopg.AsyncConnection, *, statement_within: timedelta) -> AsyncIterator[None]:
    """Run a read-only transaction, READ COMMITTED, in which a statement takes at most *statement_within*.

    Both settings end with the transaction: behind a pooler, other clients use the server's connection next. For the
    same reason no statement is prepared.
    """
    connection.prepare_threshold = None
    async with connection.transaction():
        milliseconds = statement_within // timedelta(milliseconds=1)
        await connection.execute(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY;"
            f" SET LOCAL statement_timeout = {milliseconds}".encode()
        )
        yield
