"""The outbox's database: its URL as libpq has it, options of connections, and read-only transactions."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field, SecretStr

from runtime.settings import ServiceSettings

CONNECT_WITHIN_S: Final = 5
_FORM: Final = "postgresql://user:password@host:port/name"
# What libpq's message quotes of a URL, which may be a part of the password.
_QUOTED: Final = re.compile(r'".*"( for connection option "\w+")$|".*"')
_OF_LIBPQ: Final = re.compile(r"^postgres(ql)?\+psycopg2?://")
# A folder that does not exist: libpq checks all options before it looks for a socket there.
_NOWHERE: Final = "/nonexistent"
_CHOSEN: Final = "SELECT current_setting('nerava.schema', true)"
READ_ONLY: Final = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY;"
_MISSING: Final = "a part of the outbox is missing: run `python -m producer migrate`, or restore what was dropped"
# What mends a refusal of the database, by its SQLSTATE.
MENDS: Final = {
    "25006": "the server is read-only, as a standby, a former primary or a full one is: lead to the primary, of several"
    " hosts by target_session_attrs=read-write",
    "42501": "the role lacks a right: `python -m producer grants` gives those it needs",
    **dict.fromkeys(("3F000", "42P01", "42703", "42883"), _MISSING),
}


def of_postgresql(value: SecretStr) -> SecretStr:
    """Return the URL, or the keywords and values, that libpq takes. Raises ValueError, without a part of them."""
    # The two drivers of SQLAlchemy that pass their options on to libpq.
    text = _OF_LIBPQ.sub("postgresql://", value.get_secret_value().strip())
    scheme, mark, _ = text.partition("://")
    is_url = mark != "" and "=" not in scheme
    if "\0" in text or not (is_url or "=" in text):
        raise ValueError(f"is not a URL; it should be {_FORM}")
    if is_url and scheme.startswith(("postgresql+", "postgres+")):
        raise ValueError(
            f"should begin with postgresql://, without the name of another driver than psycopg: {_FORM}. Its options"
            " are libpq's: sslmode=require instead of ssl=require"
        )
    if is_url and scheme not in ("postgresql", "postgres"):
        raise ValueError(f"should begin with postgresql://, as in {_FORM}")
    try:
        options = conninfo_to_dict(text)
    except (psycopg.ProgrammingError, ValueError):
        raise ValueError(
            "has an option that PostgreSQL's libpq does not know, or a sign that should be written with % (a space as"
            f" %20): {_FORM}?sslmode=require"
        ) from None
    if refusal := _refusal(options):
        raise ValueError(f"is not as libpq has it: {refusal}; it should be {_FORM}")
    return SecretStr(text)


def _refusal(options: dict[str, Any]) -> str:
    """Return libpq's word about the values of *options*, without what it quotes. It connects to nothing."""
    certificates = str(options.get("sslrootcert") or "system")
    if (
        str(options.get("sslmode")).startswith("verify-")
        and certificates != "system"
        and not Path(certificates).exists()
    ):
        return "the file of sslrootcert does not exist"
    hosts = str(options.get("host") or "").split(",")
    nowhere = {"host": ",".join([_NOWHERE] * len(hosts)), "hostaddr": "", "gssencmode": "disable"}
    # Hosts and ports may be a service file's, and as many as that has.
    ports = {} if options.get("host") else {"port": "5432"}
    connection = pq.PGconn.connect_start(make_conninfo(**{**options, **nowhere, **ports}).encode())
    said = connection.error_message.decode(errors="replace").strip()
    connection.finish()
    return "" if said.startswith("connection to server on socket") else _QUOTED.sub(r"…\1", said.partition("\n")[0])


Url = Callable[[], str]
"""Returns the URL for the next connection, which may have another password than the one before."""


class InSchema(ServiceSettings):
    """Which of a database's outboxes is meant."""

    outbox_schema: str | None = Field(
        None,
        pattern="^[a-z_][a-z0-9_]{0,62}$",
        description="schema of the outbox; the default is what the role's `search_path` leads to. Lower-case letters,"
        " digits and `_`",
    )


def in_schema(url: str, schema: str | None) -> str:
    """Return the URL with *schema* as the `search_path` of each connection, and as `nerava.schema`: see OWN_SCHEMA."""
    if schema is None:
        return url
    before = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{before} -csearch_path={schema} -cnerava.schema={schema}".strip())


class SchemaLost(psycopg.OperationalError):
    """The options of the connection did not reach the server, so that it would use another outbox."""

    def __init__(self) -> None:
        super().__init__(
            "OUTBOX_SCHEMA does not reach the database, because a pooler passes over the options of connections: give"
            " a URL that leads around it, or set the role's search_path and leave OUTBOX_SCHEMA unset"
        )


async def require_schema(connection: psycopg.AsyncConnection) -> None:
    """Close the connection and raise SchemaLost, if the server has not heard which schema the connection chose."""
    if expected := _chosen(connection):
        cursor = await connection.execute(_CHOSEN, prepare=False)
        if await cursor.fetchone() != (expected,):
            await connection.close()
            raise SchemaLost


def require_schema_of(connection: psycopg.Connection) -> None:
    """The same for a connection that is not asynchronous."""
    if (expected := _chosen(connection)) and connection.execute(_CHOSEN).fetchone() != (expected,):
        connection.close()
        raise SchemaLost


def _chosen(connection: psycopg.Connection | psycopg.AsyncConnection) -> str | None:
    found = re.search(r"-cnerava\.schema=(\w+)", connection.info.get_parameters().get("options", ""))
    return found and found[1]


class DatabaseUrl:
    """The URL that the setting *name* has. One in a file is read again at each call, so at each new connection: a
    password that changes there needs no restart.
    """

    def __init__(self, settings: ServiceSettings, name: str) -> None:
        self._settings: Final = settings
        self._name: Final = name
        self.setting: Final = name.upper()

    def __call__(self) -> str:
        """Return the URL. Raises UrlUnreadable if its file holds none at the moment."""
        try:
            read = self._settings.read_again(self._name)
        except ValueError as error:
            raise UrlUnreadable(str(error)) from None
        try:
            url = of_postgresql(read or SecretStr("")).get_secret_value()
        except ValueError as error:
            raise UrlUnreadable(f"{self.setting}: {error}") from None
        return in_schema(url, getattr(self._settings, "outbox_schema", None))


class UrlUnreadable(psycopg.OperationalError):
    """The file of a URL can't be read, or holds no URL. The message names the setting."""


def why_refused(error: psycopg.Error, setting: str = "DATABASE_URL") -> str:
    """Return the first line of what the database said, which has host and user but no password, and what mends it."""
    words = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, UrlUnreadable):
        return words
    mend = MENDS.get(error.sqlstate or "")
    return f"{setting}: {words}: {mend}" if mend else f"{setting}: {words}"


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
        await connection.execute(f"{READ_ONLY} SET LOCAL statement_timeout = {milliseconds}".encode())
        await require_schema(connection)
        yield
