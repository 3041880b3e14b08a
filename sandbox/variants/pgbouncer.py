"""PgBouncer before a PostgreSQL server: the machine's own installation, on 127.0.0.1."""

import os
import shutil
import signal
from pathlib import Path
from typing import Final, Literal

from psycopg.conninfo import conninfo_to_dict

from sandbox.postgres import NOBODY, let_through
from sandbox.processes import Process, ProcessFailed, free_port, listening, refuse_busy
from sandbox.server import EmbeddedServer

Mode = Literal["session", "transaction"]
START_WITHIN_S: Final = 20.0
# Its own default lets clients wait for 15 s after a server that was away for a moment.
CONFIGURATION: Final = """\
[databases]
* = host={host} port={server_port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = {round_robin}
server_login_retry = 1
ignore_startup_parameters = options
"""


class PgBouncerUnavailable(ProcessFailed):
    """PgBouncer is not installed."""


class PgBouncer(EmbeddedServer):
    """A pooler of all databases of the server at *server_url*; its clients share *size* connections of each database.

    Twenty are PgBouncer's own default. By itself it refuses the options of connections; many let it pass over them.
    """

    def __init__(
        self,
        directory: Path,
        server_url: str,
        mode: Mode,
        *,
        size: int = 20,
        round_robin: bool = False,
    ) -> None:
        super().__init__(Process("PgBouncer", directory / "pgbouncer.log"))
        self._directory: Final = directory
        self._server: Final = conninfo_to_dict(server_url)
        self._settings: Final = {"mode": mode, "size": size, "round_robin": int(round_robin)}
        self._port: Final = free_port()

    def url_of(self, database: str) -> str:
        user, password = self._server["user"], self._server.get("password")
        return f"postgresql://{user}{f':{password}' if password else ''}@127.0.0.1:{self._port}/{database}"

    async def start(self) -> None:
        """Start it, and return when it listens. Raises PgBouncerUnavailable, PortBusy and ProcessFailed."""
        refuse_busy(self._port, "PgBouncer")
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if program is None:
            raise PgBouncerUnavailable("PgBouncer is not installed: `apt-get install pgbouncer`")
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / "pgbouncer.ini"
        server = {"host": self._server["host"], "server_port": self._server["port"], "user": self._server["user"]}
        # It asks for a password even where the server takes any.
        server["password"] = self._server.get("password") or "none"
        file.write_text(CONFIGURATION.format(**server, **self._settings, port=self._port))
        # It refuses to run as root.
        user = NOBODY if os.geteuid() == 0 else None
        let_through(file)
        file.chmod(0o644)
        self._process.start([program, file], user=user)
        await self._process.until(self._listens, within_s=START_WITHIN_S)

    async def stop(self) -> None:
        """End it, and all its connections."""
        await self._process.stop(signal.SIGTERM)

    async def _listens(self) -> bool:
        return listening(self._port)
