"""Other PostgreSQL servers than the wheel's: an installation's own programs, with their own defaults."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.postgres import EmbeddedPostgres
from sandbox.variants.postgres_programs import PostgresUnavailable, programs_of
from sandbox.variants.versions import POSTGRES

# Where Debian and what is made of it install each version.
INSTALLED = Path("/usr/lib/postgresql")


def oldest_programs() -> Path:
    """Return the folder of the oldest programs: of the promised version, else the oldest installation's, or skip."""
    if named := os.environ.get("NERAVA_TEST_POSTGRES"):
        return Path(named)
    try:
        return programs_of(int(POSTGRES["oldest"]))
    except PostgresUnavailable as unavailable:
        found = [program.parent for program in INSTALLED.glob("*/bin/postgres")]
        if not found:
            pytest.skip(f"{unavailable}; nor is one installed (`apt-get install postgresql-15`)")
        return min(found, key=lambda folder: float(folder.parent.name))


@contextmanager
def running_postgres(
    directory: Path, programs: Path, options: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """Yield a server of these programs on a free port; *options* differ from its defaults. It never runs as root."""
    server = EmbeddedPostgres(directory, programs=programs, options=options or {})
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@contextmanager
def database_of(server: Any, name: str) -> Iterator[str]:
    """Yield the URL of an empty database, which is dropped afterwards."""
    yield asyncio.run(server.create_database(name))
    asyncio.run(server.drop_database(name))
