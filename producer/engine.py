"""SQLAlchemy's way into the outbox's database, for what is written with it: migrations, and the old worker's rows."""

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from runtime.database import require_schema_of


def engine_of(database_url: str) -> Engine:
    """Return an engine that connects as libpq reads *database_url*, which SQLAlchemy reads differently.

    Its transactions are READ COMMITTED.
    """

    def connect() -> psycopg.Connection:
        # With the encoding SQL_ASCII psycopg would return bytes. Behind a pooler, a prepared statement may be missing
        # in the server's next connection.
        connection = psycopg.connect(database_url, client_encoding="utf8", prepare_threshold=None)
        require_schema_of(connection)
        connection.rollback()
        return connection

    return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool, isolation_level="READ COMMITTED")
