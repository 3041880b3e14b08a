"""PostgreSQL on 127.0.0.1, without any installation."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from sandbox.day.progress import Progress, silent
from sandbox.processes import Process, ProcessFailed, free_port, refuse_busy
from sandbox.server import EmbeddedServer
from sandbox.variants.postgres_programs import programs_of, programs_of_the_wheel
from sandbox.variants.versions import postgres_version

START_WITHIN_S: Final = 60.0
# The id of the user nobody, which every system has: PostgreSQL refuses to run as root.
NOBODY: Final = 65534

ADDRESS: Final = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
OPTIONS: Final = {
    # Without fsync, commits still survive `kill -9`: they are in the kernel's cache, which only a power loss clears.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # Debezium needs this level. It costs 1 % of CPU and 6 % of WAL per tracked event: not worth a second configuration.
    "wal_level": "logical",
}


class EmbeddedPostgres(EmbeddedServer):
    """A server with its data in *directory*, which survive restarts; the object also keeps its port."""

    def __init__(  # noqa: PLR0913 - what differs between servers, by name
        self,
        directory: Path,
        *,
        port: int | None = None,
        progress: Progress = silent,
        programs: Path | None = None,
        version: int | None = None,
        options: Mapping[str, str] = OPTIONS,
    ) -> None:
        """*programs* is the folder of another installation's programs; its own libraries are beside that folder."""
        super().__init__(Process("PostgreSQL", directory / "postgres.log"))
        self._data: Final = directory / "data"
        self._programs: Final = programs
        self._version: Final = version or postgres_version()
        self._options: Final = options
        self._port: Final = port or free_port()
        self._progress = progress
        self._user: Final = NOBODY if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    async def start(self) -> None:
        """Start the server, and return when it accepts connections. Raises PortBusy and ProcessFailed."""
        refuse_busy(self._port, "PostgreSQL")
        await asyncio.to_thread(self._program, "postgres")
        if not (self._data / "PG_VERSION").exists():
            self._progress("making a PostgreSQL database")
            await asyncio.to_thread(self._initialise)
        self._progress("starting PostgreSQL")
        while True:
            command: list[str | Path] = [self._program("postgres"), "-D", self._data, *self._words()]
            self._process.start(command, environment=self._environment, user=self._user)
            try:
                await self._process.until(self._answers, within_s=START_WITHIN_S)
            except ProcessFailed:
                # After `kill -9`, the old server's child processes take a moment to end.
                if "is still in use" not in self._process.tail() and "lock file" not in self._process.tail():
                    raise
                self._process.log.write_text("")
                await asyncio.sleep(0.1)
            else:
                return

    async def stop(self) -> None:
        """Shut down, and close the connections."""
        await self._process.stop(signal.SIGINT)

    async def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database, and return its URL."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self.url_of(name)

    async def has_database(self, name: str) -> bool:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            return found.rowcount == 1

    async def drop_database(self, name: str) -> None:
        """Drop a database, and close the connections to it."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _program(self, name: str) -> Path:
        return (self._programs or programs_of(self._version, self._progress)) / name

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"LD_LIBRARY_PATH": str(self._program("postgres").parents[1] / "lib")}

    def _words(self) -> list[str]:
        options = {**ADDRESS, **self._options, "port": str(self._port)}
        return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def _initialise(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._data, self._user, self._user)
            for path in (self._data, self._program("postgres")):
                let_through(path)
        command = [
            str(self._program("initdb")),
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        made = subprocess.run(
            [*command, "--locale=C.UTF-8", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self._environment},
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        if made.returncode:
            raise ProcessFailed(f"initdb ended with code {made.returncode}:\n{made.stderr}")

    async def _answers(self) -> bool:
        try:
            await (await psycopg.AsyncConnection.connect(self.url, connect_timeout=2)).close()
        except psycopg.OperationalError:
            return False
        return True


def program(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs, such as `psql` or `pgbench`, in the newest version."""
    return programs_of_the_wheel() / name


def let_through(path: Path) -> None:
    # Root runs the server as nobody, who needs permission to traverse the parent folders.
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
