"""Octets on a socket, as a hostile client sends them, and how the server ends the exchange."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from tests.hostile.inputs import Input


def sent_by(one: Input) -> Iterator[bytes]:
    """Return what *one* sends: `raw`, then `piece` for `times` times, then `last`. It may fit in no memory."""
    yield one.bytes("raw")
    piece = one.bytes("piece")
    yield from (piece for _ in range(one.get("times", 0)))
    yield one.bytes("last")


async def status_of(port: int, sent: Iterator[bytes], within_s: float = 20) -> str:
    """Send all that is *sent*; return the first answer's status, `closed` without one, `open` if nothing happens."""
    try:
        async with asyncio.timeout(within_s):
            answer = await _exchange(port, sent, whole=False)
    except TimeoutError:
        return "open"
    return answer.split()[1].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"


async def until_closed(port: int, sent: Iterator[bytes], every_s: float = 0) -> bytes:
    """Send all that is *sent*, with a pause between the pieces; return all answers, once the server closes."""
    return await _exchange(port, sent, whole=True, every_s=every_s)


async def _exchange(port: int, sent: Iterator[bytes], *, whole: bool, every_s: float = 0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_send(writer, sent, every_s))
    try:
        return await (reader.read() if whole else reader.readline())
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, sent: Iterator[bytes], every_s: float) -> None:
    with suppress(ConnectionError):
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)
