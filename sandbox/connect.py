"""Kafka Connect: one standalone worker on 127.0.0.1, with Debezium's connector for PostgreSQL as a plugin."""

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

# Connect's newest version on Maven Central. It works with brokers of other versions.
WORKER: Final = "org.apache.kafka:connect-runtime:4.3.1+org.slf4j:slf4j-simple:2.0.17"
CONNECTOR: Final = "io.debezium:debezium-connector-postgres:3.6.1.Final"
SIZES: Final = {WORKER: "34 MB", CONNECTOR: "29 MB"}
START_WITHIN_S: Final = 90.0
# On an idle machine, the connector streams within 5 s.
RUNNING_WITHIN_S: Final = 90.0
CONNECT_WITHIN_S: Final = 10.0
# The JIT is not limited, unlike Kafka's, since the bench compares Connect with our relay.
JVM_OPTIONS: Final = ("-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true")

# The connector's own configuration sets the converters it needs. `${env:NAME}` inserts secrets from the environment.
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
    """Connect refused the connector, or its task failed; the message is Connect's."""


@dataclass(frozen=True)
class ConnectorStatus:
    """The state of a connector, that of its task, and the stack trace of a failure, as reported by Connect."""

    connector: str
    task: str
    trace: str = ""

    @property
    def running(self) -> bool:
        return self.connector == self.task == "RUNNING"

    @property
    def failed(self) -> bool:
        """Whether the connector or its task failed. A failed task needs a restart; the worker runs on meanwhile."""
        return "FAILED" in (self.connector, self.task)


NOT_THERE: Final = ConnectorStatus("NOT_THERE", "NOT_THERE")


class EmbeddedConnect(EmbeddedServer):
    """A worker with its offsets in *directory*, where a later start finds them. Every start needs `run` again."""

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
        """Start the worker, and return when it answers. Raises JarsUnavailable, PortBusy and ProcessFailed."""
        refuse_busy(self._port, "Kafka Connect")
        class_path = await asyncio.to_thread(self._prepare)
        self._progress("starting Kafka Connect")
        program = "org.apache.kafka.connect.cli.ConnectStandalone"
        command: list[str | Path] = [java(), *JVM_OPTIONS, "-cp", class_path, program, self._properties]
        self._process.start(command, environment=self._environment)
        await self._process.until(self._answers, within_s=START_WITHIN_S)

    async def stop(self) -> None:
        """Shut down gracefully: the worker publishes the rows that it read, and stores its offsets."""
        await self._process.stop(signal.SIGTERM)

    async def run(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, and return when its task runs. Raises ConnectorFailed and ProcessFailed."""
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
        """Delete the connector. Its replication slot remains, at its position, but is no longer in use."""
        await self._call("DELETE", f"/connectors/{name}")

    async def status(self, name: str) -> ConnectorStatus:
        """Return the connector's status; NOT_THERE if Connect has no status of this name."""
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
        # The plugin has its own class path: its version of Kafka's clients would clash with the worker's.
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
        # During the start, Jetty answers with HTML pages.
        spoken = response.headers.get("Content-Type", "").startswith("application/json")
        return response.status_code, response.json() if spoken else {}
