"""PgBouncer before a test's database, as a managed database hands it out: in transaction mode, or in session mode."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from sandbox.variants.pgbouncer import Mode, PgBouncer, PgBouncerUnavailable


@contextmanager
def pooled(
    directory: Path, database_url: str, *, mode: Mode = "transaction", size: int = 1, round_robin: bool = False
) -> Iterator[str]:
    """Yield the URL of the database through PgBouncer, whose clients share *size* connections of the server's.

    Skips the test where PgBouncer is not installed.
    """
    bouncer = PgBouncer(directory, database_url, mode, size=size, round_robin=round_robin)
    try:
        asyncio.run(bouncer.start())
    except PgBouncerUnavailable as unavailable:
        pytest.skip(str(unavailable))
    yield bouncer.url_of(make_url(database_url).database or "")
    asyncio.run(bouncer.stop())
