"""A HubSpot that gives one hostile answer to every call, as raw bytes on loopback.

An input of the surface `HubSpot answer` has the bytes of its `answer`. Those of `again`, if any, follow every `every_s`
seconds until the client is gone. `{other}` in the answer is the port of another host, which must never be reached.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.hostile.inputs import Input, octets

WRITTEN_AT_ONCE: Final = 64 * 1024


class HostileHubSpot:
    """`base_url` is its address; `reached` has what was sent to the other host."""

    def __init__(self, base_url: str, reached: list[bytes]) -> None:
        self.base_url: Final = base_url
        self.reached: Final = reached


@asynccontextmanager
async def answering(hostile: Input) -> AsyncIterator[HostileHubSpot]:
    """Serve the answer of *hostile* for the context."""
    reached: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(4_000))
        writer.close()

    other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    connections = set[asyncio.Task[None]]()
    other_port = other.sockets[0].getsockname()[1]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            await give(hostile, writer, other_port)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield HostileHubSpot(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", reached)
    finally:
        server.close()
        other.close()
        for connection in connections:
            connection.cancel()
        # A client that is gone, or gave up, is what the answers are for.
        await asyncio.gather(*connections, return_exceptions=True)


async def give(hostile: Input, writer: asyncio.StreamWriter, other_port: int = 1) -> None:
    """Write the answer of *hostile*. If it has no end, return when the client is gone, which raises ConnectionError."""
    again, every_s = octets(hostile.get("again")), float(hostile.get("every_s", 0))
    await _write(writer, hostile.bytes("answer").replace(b"{other}", str(other_port).encode()))
    while again:
        await _write(writer, again)
        await asyncio.sleep(every_s)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the head and the body of the next request. Raises asyncio.IncompleteReadError if there is none."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head, await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)


async def _write(writer: asyncio.StreamWriter, octets: bytes) -> None:
    # In pieces, so that the server keeps no second copy of a huge answer.
    for start in range(0, len(octets), WRITTEN_AT_ONCE):
        writer.write(octets[start : start + WRITTEN_AT_ONCE])
        await writer.drain()
