"""What is in the outbox of a test's database."""

from typing import Any

import psycopg
from sqlalchemy import Engine, text


def rows(engine: Engine) -> list[Any]:
    """Return the rows in order, as others see them."""
    with engine.connect() as connection:
        query = "SELECT id, aggregateid, type, sequence, traceparent, payload FROM outbox_events ORDER BY position"
        return list(connection.execute(text(query)))


async def is_empty(database_url: str) -> bool:
    """Return whether a relay has published all."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute("SELECT EXISTS (SELECT FROM outbox_events)")).fetchone()
    return row == (False,)
