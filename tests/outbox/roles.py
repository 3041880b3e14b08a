"""Roles of one test, which have what `python -m producer grants` gives them, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg

from tests.commands import Done, run


@dataclass(frozen=True)
class Roles:
    """The roles, each as its URL, and the owner's."""

    owner: str
    backend: str
    relay: str
    console: str
    migrating: str

    def name(self, url: str) -> str:
        return url.partition("//")[2].partition("@")[0]

    async def granted(self, *more: str) -> Done:
        """Give them their rights."""
        names = {"backend": self.backend, "relay": self.relay, "console": self.console, "migrate": self.migrating}
        options = [word for option, url in names.items() for word in (f"--{option}", self.name(url))]
        return await run("producer", "grants", *options, *more, environment={"DATABASE_URL": self.owner})


@asynccontextmanager
async def made(owner: str) -> AsyncIterator[Roles]:
    """Make roles without any right, in the database of the URL."""
    suffix = uuid4().hex[:8]
    names = [f"{name}_{suffix}" for name in ("backend", "relay", "console", "migrating")]
    async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as db:
        # Since PostgreSQL 15 nobody has it; before, `grants` asks for this.
        await db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        for name in names:
            await db.execute(f"CREATE ROLE {name} LOGIN".encode())
        yield Roles(owner, *(owner.replace("//postgres@", f"//{name}@") for name in names))
        for name in names:
            await db.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}".encode())
