"""A cluster of three Kafka brokers on this machine, of which single ones can be stopped and killed."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sandbox.kafka import SESSION_MS, EmbeddedKafka, Node
from sandbox.processes import free_port

BROKERS: Final = 3


class KafkaCluster:
    """Three brokers with their data in *directory*. `bootstrap_servers` names all of them.

    A dead broker's partitions get other leaders after *session_ms*.
    """

    def __init__(self, directory: Path, *, session_ms: int = SESSION_MS) -> None:
        controllers = {number: free_port() for number in range(1, BROKERS + 1)}
        self.brokers: Final = [
            EmbeddedKafka(
                directory / f"broker-{number}",
                node=Node(number, controllers),
                session_ms=session_ms,
                auto_create=False,
            )
            for number in controllers
        ]

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of a client, as environment variables."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers, "KAFKA_REPLICATION_FACTOR": str(BROKERS)}

    async def start(self) -> None:
        """Start all brokers, and return when each answers."""
        await asyncio.gather(*(broker.start() for broker in self.brokers))

    async def kill(self) -> None:
        """Kill all brokers at once: a graceful stop would wait for the others' controllers."""
        await asyncio.gather(*(broker.kill() for broker in self.brokers))

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
