"""PgBouncer before a test's database, as a managed database hands it out: in transaction mode, or in session mode."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import make_url

from sandbox.postgres import NOBODY, let_through
from sandbox.processes import Process, free_port, listening

CONFIGURATION = """\
[databases]
* = host={server.host} port={server.port} user={server.username} password={server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = {round_robin:d}
"""
Mode = Literal["transaction", "session"]


@contextmanager
def pooled(
    directory: Path, database_url: str, *, mode: Mode = "transaction", size: int = 1, round_robin: bool = False
) -> Iterator[str]:
    """Yield the URL of the database through PgBouncer, whose clients share *size* connections of the server's.

    Skips the test where PgBouncer is not installed.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed: `apt-get install pgbouncer`")
    directory.mkdir()
    port, server, file = free_port(), make_url(database_url), directory / "pgbouncer.ini"
    server_options = {"server": server.set(password=server.password or "none"), "port": port}
    file.write_text(CONFIGURATION.format(**server_options, mode=mode, size=size, round_robin=round_robin))
    # It refuses to run as root.
    user = NOBODY if os.geteuid() == 0 else None
    let_through(file)
    file.chmod(0o644)
    bouncer = Process("PgBouncer", directory / "log")
    bouncer.start([program, file], user=user)
    asyncio.run(_started(bouncer, port))
    yield server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    asyncio.run(bouncer.stop())


async def _started(bouncer: Process, port: int) -> None:
    async def ready() -> bool:
        return listening(port)

    await bouncer.until(ready, within_s=20)
