"""The relay's sessions: its connections to PostgreSQL, and the proof that no pooler lends them to others.

A lock, LISTEN and a setting last as long as a session of the server. A pooler in transaction mode gives a client any
session for each transaction: every relay would be active, and none would be notified.
"""

import asyncio
from typing import Any, Final

import psycopg

from producer.relay import statements
from runtime.database import Url, connection_options, require_schema
from schemas.outbox import WATCH_NAME

# A statement that takes longer than this counts as a lost connection.
STATEMENT_WITHIN_S: Final = 15.0
# A pooler whose connections other clients use may happen to give each of two connections the same session twice.
ROUNDS: Final = 8


class Unusable(RuntimeError):
    """The database can't be used as it is. The message says what to do."""


class NoSession(Unusable):
    """A connection has no session of its own."""

    def __init__(self) -> None:
        super().__init__(
            "leads through a pooler in transaction mode, which shares the session that has the relay's lock: give the"
            " relay a direct URL (RELAY_DATABASE_URL), of PostgreSQL itself or of a pool in session mode"
        )


class NoAnswer(psycopg.OperationalError):
    """A statement took longer than STATEMENT_WITHIN_S."""


async def connect(url: Url, name: str) -> psycopg.AsyncConnection:
    """Return a connection in autocommit, which `pg_stat_activity` calls *name*. Raises psycopg.Error."""
    connection = await psycopg.AsyncConnection.connect(
        url(),
        autocommit=True,
        # A host that is gone without closing its connection must not keep the active role.
        **connection_options(name, answer_within_s=STATEMENT_WITHIN_S),
    )
    await require_schema(connection)
    return connection


async def execute(connection: psycopg.AsyncConnection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Return the statement's rows. Raises psycopg.Error, also after STATEMENT_WITHIN_S."""
    try:
        async with asyncio.timeout(STATEMENT_WITHIN_S):
            # The statement is planned for its parameters: a generic plan would compare each row of the outbox with each
            # one that the relay leaves out.
            cursor = await connection.execute(statement, parameters, prepare=False)
            return await cursor.fetchall() if cursor.description else []
    except TimeoutError:
        raise NoAnswer(f"no answer within {STATEMENT_WITHIN_S:g} s") from None


async def own_session(connection: psycopg.AsyncConnection, url: Url) -> int:
    """Return the pid of the connection's session, which no other client uses. Raises psycopg.Error and Unusable.

    A second connection and this one ask in turn which session they have. A pooler in transaction mode gives the second
    one the session that the first has just left, or has to give the first one another.
    """
    [own] = await execute(connection, statements.WHO)
    second = await connect(url, WATCH_NAME)
    try:
        for _ in range(ROUNDS):
            if await execute(second, statements.WHO) == [own] or await execute(connection, statements.WHO) != [own]:
                raise NoSession
    except NoAnswer as error:
        raise Unusable(
            f"{error} of a second connection: if the URL leads through a pool in session mode, it is too small"
        ) from None
    finally:
        await second.close()
    pid: int = own[0]
    return pid
