"""Kafka Connect itself, one standalone worker on 127.0.0.1, with Debezium's connector for PostgreSQL beside it."""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from sandbox.day.progress import Progress, silent
from sandbox.java import jars, java
from sandbox.processes import Process, free_port, listening, refuse_busy
from sandbox.server import EmbeddedServer

# Connect's newest on Maven Central; brokers of other versions are all the same to it.
WORKER: Final = "org.apache.kafka:connect-runtime:4.3.1+org.slf4j:slf4j-simple:2.0.17"
CONNECTOR: Final = "io.debezium:debezium-connector-postgres:3.6.1.Final"
SIZES: Final = {WORKER: "34 MB", CONNECTOR: "29 MB"}
START_WITHIN_S: Final = 90.0
# It streams within 5 s where the machine is idle.
RUNNING_WITHIN_S: Final = 90.0
CONNECT_WITHIN_S: Final = 10.0
# All of the JIT, unlike Kafka's: the bench measures it beside our relay.
JVM_OPTIONS: Final = ("-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true")

# The converters stand in the connector's own configuration. Secrets come from the environment, by `${env:NAME}`.
PROPERTIES: Final = """\
bootstrap.servers={bootstrap_servers}
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
plugin.discovery=service_load
offset.storage.file.filename={offsets}
offset.flush.interval.ms=1000
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
"""


class ConnectorFailed(RuntimeError):
    """Connect refused the connector, or its task is dead; the message says why, in Connect's words."""


@dataclass(frozen=True)
class ConnectorStatus:
    """What Connect says of one connector: its own state, that of its task, and why it failed."""

    connector: str
    task: str
    trace: str = ""

    @property
    def running(self) -> bool:
        return self.connector == self.task == "RUNNING"

    @property
    def failed(self) -> bool:
        """A failed task stays dead until somebody restarts it; the worker goes on, and REST answers 200."""
        return "FAILED" in (self.connector, self.task)


NOT_THERE: Final = ConnectorStatus("NOT_THERE", "NOT_THERE")


class EmbeddedConnect(EmbeddedServer):
    """A worker with its offsets in *directory*, which a later start finds again. Connectors are put anew each time."""

    def __init__(
        self,
        directory: Path,
        bootstrap_servers: str,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        progress: Progress = silent,
    ) -> None:
        super().__init__(Process("Kafka Connect", directory / "connect.log"))
        self._directory: Final = directory
        self._bootstrap_servers: Final = bootstrap_servers
        self._port: Final = port or free_port()
        self._environment: Final = environment
        self._progress: Final = progress
        self.url: Final = f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        return self._process.log

    async def start(self) -> None:
        """Return when it answers. Raises JarsUnavailable, PortBusy and ProcessFailed."""
        refuse_busy(self._port, "Kafka Connect")
        class_path = await asyncio.to_thread(self._prepare)
        self._progress("starting Kafka Connect")
        program = "org.apache.kafka.connect.cli.ConnectStandalone"
        command: list[str | Path] = [java(), *JVM_OPTIONS, "-cp", class_path, program, self._properties]
        self._process.start(command, environment=self._environment)
        await self._process.until(self._answers, within_s=START_WITHIN_S)

    async def stop(self) -> None:
        """Shut down in order: what was read is published, and its offsets are kept."""
        await self._process.stop(signal.SIGTERM)

    async def run(self, name: str, config: Mapping[str, str]) -> None:
        """Put the connector; return when its task runs. Raises ConnectorFailed."""
        status, said = await self._call("PUT", f"/connectors/{name}/config", dict(config))
        if status >= 400:
            raise ConnectorFailed(f"{name}: {said.get('message', status)}")

        async def running() -> bool:
            now = await self.status(name)
            if now.failed:
                raise ConnectorFailed(f"{name}: {now.trace}")
            return now.running

        await self._process.until(running, within_s=RUNNING_WITHIN_S)

    async def remove(self, name: str) -> None:
        """End the connector, which lets go of its replication slot and leaves it where it is."""
        await self._call("DELETE", f"/connectors/{name}")

    async def status(self, name: str) -> ConnectorStatus:
        """Return what Connect says of the connector; NOT_THERE while it has none of this name."""
        code, said = await self._call("GET", f"/connectors/{name}/status")
        if code != 200:
            return NOT_THERE
        connector, tasks = said["connector"], said["tasks"]
        task = tasks[0] if tasks else {"state": "NOT_THERE"}
        return ConnectorStatus(connector["state"], task["state"], task.get("trace") or connector.get("trace") or "")

    @property
    def _properties(self) -> Path:
        return self._directory / "connect.properties"

    def _prepare(self) -> str:
        class_path = jars(WORKER, SIZES[WORKER], self._progress)
        plugin = self._directory / "plugins" / "debezium"
        plugin.mkdir(parents=True, exist_ok=True)
        # Apart from the worker's class path, or two versions of Kafka's clients would meet on one.
        for jar in map(Path, jars(CONNECTOR, SIZES[CONNECTOR], self._progress).split(":")):
            if not (plugin / jar.name).exists():
                (plugin / jar.name).symlink_to(jar)
        self._properties.write_text(
            PROPERTIES.format(
                bootstrap_servers=self._bootstrap_servers,
                port=self._port,
                plugins=plugin.parent,
                offsets=self._directory / "offsets",
            )
        )
        return class_path

    async def _answers(self) -> bool:
        if not listening(self._port):
            return False
        try:
            return (await self._call("GET", "/connectors"))[0] == 200
        except httpx.TransportError:
            return False

    async def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> tuple[int, Any]:
        async with httpx.AsyncClient(base_url=self.url, timeout=CONNECT_WITHIN_S) as http:
            response = await http.request(method, path, json=body)
        # While it starts, Jetty answers with pages of its own.
        spoken = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status_code, response.json() if spoken else {}
