"""The outbox's database: the URL that names it, and a look into it that leaves nothing behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


def of_postgresql(value: SecretStr) -> SecretStr:
    """Return the URL as libpq takes it. Raises ValueError, without the URL, for what is none of PostgreSQL's."""
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL; it should be postgresql://user:password@host:port/name") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("should begin with postgresql://")
    # SQLAlchemy's way of naming a driver is none that libpq knows. Nor are its ways of writing a space: libpq quotes in
    # its error what it can't read, and that is the password.
    rendered = url.set(drivername="postgresql").render_as_string(hide_password=False)
    where, mark, options = rendered.partition("?")
    return SecretStr(where.replace(" ", "%20") + mark + options.replace("+", "%20"))


@asynccontextmanager
async def reading(connection: psycopg.AsyncConnection, *, statement_within: timedelta) -> AsyncIterator[None]:
    """Read in a transaction that can write nothing, where no statement takes longer than *statement_within*.

    Both end with the transaction: behind a pooler, other clients use the server's connection next. For the same reason
    nothing is prepared on it.
    """
    connection.prepare_threshold = None
    async with connection.transaction():
        milliseconds = statement_within // timedelta(milliseconds=1)
        await connection.execute(f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {milliseconds}".encode())
        yield
