"""How the outbox's database is named: the URL of a PostgreSQL, with its password."""

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


def of_postgresql(value: SecretStr) -> SecretStr:
    """Return the URL as libpq takes it. Raises ValueError, without the URL, for what is none of PostgreSQL's."""
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        raise ValueError("is no URL; it should be postgresql://user:password@host:port/name") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("should begin with postgresql://")
    # SQLAlchemy's way of naming a driver is none that libpq knows. Nor are its ways of writing a space: libpq quotes in
    # its error what it can't read, and that is the password.
    rendered = url.set(drivername="postgresql").render_as_string(hide_password=False)
    where, mark, options = rendered.partition("?")
    return SecretStr(where.replace(" ", "%20") + mark + options.replace("+", "%20"))
