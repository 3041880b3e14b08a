"""One broker, asked by a connection of its own what it takes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

ANSWER_WITHIN_S: Final = 3.0
CLOSE_WITHIN_S: Final = 0.5


@dataclass(frozen=True)
class Broker:
    """A broker, and the options with which our clients connect."""

    host: str
    port: int
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def protocol(self) -> str:
        return str(self.options.get("security_protocol", "PLAINTEXT"))

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL")

    @asynccontextmanager
    async def connection(self, protocol: str) -> AsyncIterator[AIOKafkaConnection]:
        asked = {name: value for name, value in self.options.items() if name.startswith(("sasl_", "ssl_"))}
        closing = asyncio.Event()
        connection = AIOKafkaConnection(
            self.host,
            self.port,
            security_protocol=protocol,
            request_timeout_ms=int(ANSWER_WITHIN_S * 1000),
            on_close=lambda *_: closing.set(),
            **asked,
        )
        try:
            await connection.connect()
            yield connection
        finally:
            closed = connection.close()
            # aiokafka calls `on_close` only for an open connection. TLS sends a closing message and waits for the
            # answer.
            if closing.is_set():
                await asyncio.wait([closed], timeout=CLOSE_WITHIN_S)

    async def let_in(self) -> None:
        async with self.connection(self.protocol) as connection:
            # A broker answers a request for its API versions to any client, but this request only to an authenticated
            # one.
            await connection.send(MetadataRequest([]))

    async def mechanisms(self) -> list[str]:
        """Return the broker's SASL mechanisms; an empty list if it has none, or does not answer."""
        asked = str(self.options.get("sasl_mechanism", "PLAIN"))
        try:
            async with self.connection("SSL" if self.tls else "PLAINTEXT") as connection:
                return list((await connection.send(SaslHandShakeRequest(asked))).enabled_mechanisms)
        except Exception:  # noqa: BLE001 - an unknown server may cause any error
            return []

    async def speaks_plainly(self) -> bool:
        try:
            async with self.connection("PLAINTEXT"):
                return True
        except Exception:  # noqa: BLE001 - an unknown server may cause any error
            return False

    async def speaks_tls(self) -> bool:
        # Any certificate is accepted, because nothing is sent.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            _, writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        except OSError:
            return False
        writer.transport.abort()
        return True
