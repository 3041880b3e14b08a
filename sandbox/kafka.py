"""Apache Kafka: one broker in KRaft mode on 127.0.0.1, without any installation."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.kafka.connection import KafkaConnection
from sandbox.day.progress import Progress, silent
from sandbox.java import CACHE, jars, java
from sandbox.listener import Listener, Plain
from sandbox.processes import Process, ProcessFailed, free_port, listening, refuse_busy
from sandbox.server import EmbeddedServer
from sandbox.variants.versions import kafka_version

# slf4j-nop drops Kafka's own log lines, since its exit code and stdout are enough.
COORDINATES: Final = "org.apache.kafka:kafka_2.13:{version}+org.slf4j:slf4j-nop:1.7.36"
SIZE: Final = "43 MB"
CLUSTER_ID: Final = "bmVyYXZhLXNhbmRib3gtMQ"
START_WITHIN_S: Final = 90.0
JVM_OPTIONS: Final = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Kafka's default is 9 s: after `kill -9`, the controller accepts the broker only once the old session has ended.
SESSION_MS: Final = 2_000
PROPERTIES: Final = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={protocol}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={protocol}://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocol}:{protocol}
log.dirs={data}
default.replication.factor={copies}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable={auto_create}
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms=500
{listener}
"""


@dataclass(frozen=True)
class Node:
    """A broker's place in its cluster, whose brokers are all controllers: its number, and their ports by number."""

    number: int
    controllers: Mapping[int, int]

    @property
    def copies(self) -> int:
        """How many copies Kafka's own topics have."""
        return min(len(self.controllers), 3)


class EmbeddedKafka(EmbeddedServer):
    """A broker with its data in *directory*, which survive restarts; the object also keeps its port.

    *auto_create* is Kafka's own default: the broker creates topics whose metadata clients request.
    """

    def __init__(  # noqa: PLR0913 - what differs between brokers, by name
        self,
        directory: Path,
        *,
        port: int | None = None,
        listener: Listener | None = None,
        auto_create: bool = True,
        version: str = "",
        node: Node | None = None,
        session_ms: int = SESSION_MS,
        progress: Progress = silent,
    ) -> None:
        super().__init__(Process("Kafka", directory / "kafka.log"))
        # The listener may be replaced between stop and start, which changes the password, for example.
        self.listener: Listener = listener or Plain()
        self._directory: Final = directory
        self._auto_create: Final = auto_create
        self._version: Final = version or kafka_version()
        self._port: Final = port or free_port()
        self._node: Final = node or Node(1, {1: free_port()})
        self._session_ms: Final = session_ms
        self._progress = progress

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of a client, as environment variables."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers, **self.listener.environment}

    async def start(self) -> None:
        """Start the broker, and return when it answers. Raises JarsUnavailable, PortBusy and ProcessFailed."""
        refuse_busy(self._port, "Kafka")
        class_path = await asyncio.to_thread(jars, COORDINATES.format(version=self._version), SIZE, self._progress)
        if not (self.data / "meta.properties").exists():
            self._progress("formatting Kafka's storage")
            await asyncio.to_thread(self._format, class_path)
        self._write_properties()
        self._progress("starting Kafka")
        self._process.start([java(), *JVM_OPTIONS, "-cp", class_path, "kafka.Kafka", self._properties])
        await self._process.until(self._answers, within_s=START_WITHIN_S)

    async def stop(self) -> None:
        """Shut down gracefully."""
        await self._process.stop(signal.SIGTERM)

    @property
    def data(self) -> Path:
        return self._directory / "data"

    @property
    def _properties(self) -> Path:
        return self._directory / "server.properties"

    def _format(self, class_path: str) -> None:
        self._write_properties()
        if self.listener.format_options:
            self._run_storage_tool(class_path)
            return
        # Without users, a formatted storage is the same for every broker. A copy of it saves the start of a JVM.
        number = "" if self._node.number == 1 else f"-{self._node.number}"
        formatted = CACHE / f"formatted-{sha256(class_path.encode()).hexdigest()[:12]}{number}"
        if not formatted.exists():
            self._run_storage_tool(class_path)
            with TemporaryDirectory(dir=CACHE) as folder, contextlib.suppress(OSError):
                # The rename fails where another process was first, whose copy is as good.
                shutil.copytree(self.data, Path(folder) / "data").rename(formatted)
        else:
            shutil.copytree(formatted, self.data, dirs_exist_ok=True)

    def _run_storage_tool(self, class_path: str) -> None:
        command = [java(), *JVM_OPTIONS, "-cp", class_path, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
        options = ["-c", self._properties, *self.listener.format_options]
        made = subprocess.run([*map(str, command), *map(str, options)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise ProcessFailed(f"Kafka's storage could not be formatted:\n{made.stdout}{made.stderr}")

    def _write_properties(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            PROPERTIES.format(
                protocol=self.listener.protocol,
                port=self._port,
                number=self._node.number,
                voters=",".join(f"{number}@127.0.0.1:{port}" for number, port in self._node.controllers.items()),
                controller_port=self._node.controllers[self._node.number],
                copies=self._node.copies,
                in_sync=max(1, self._node.copies - 1),
                session_ms=self._session_ms,
                data=self.data,
                auto_create=str(self._auto_create).lower(),
                listener=self.listener.properties,
            )
        )

    async def _answers(self) -> bool:
        if not listening(self._port):
            return False
        settings = {name.lower(): value for name, value in self.environment.items()}
        options = KafkaConnection.model_validate(settings).client_options()
        admin = AIOKafkaAdminClient(**options, request_timeout_ms=2_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
