"""Compressed batches: how large one may be when it is unpacked. aiokafka unpacks a whole batch, whatever its size then.

Kafka's brokers limit the size of a compressed batch, of which gzip makes up to a thousand times as much.
"""

import ctypes
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiokafka.record._crecords.default_records as compiled
import aiokafka.record.default_records as pure
import cramjam

# The relay's largest batch is a quarter of this.
LARGEST_BATCH: Final = 32 * 1024 * 1024
# Most batches fit in a few times their size: memory for the limit is taken last.
_TIMES: Final = (16, 256, LARGEST_BATCH)
LARGE_BLOCK: Final = 1024 * 1024
# glibc's number of this option.
_M_MMAP_THRESHOLD: Final = -3
_NOT_READ: Final = (
    f"This record is in a batch that can't be unpacked, or has over {LARGEST_BATCH} bytes then, so nobody has read it."
)


class BatchNotUnpacked(ValueError):
    """A batch that is larger than LARGEST_BATCH when it is unpacked, or that can't be unpacked."""


@dataclass(frozen=True)
class UnreadRecord:
    """What stands for a record of a batch that was not unpacked. Its key and value name no contact, and say why."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes = b"unread"
    value: bytes = _NOT_READ.encode()
    headers: tuple[tuple[str, bytes], ...] = ()
    checksum: None = None


def unread(batch: Any) -> Iterator[UnreadRecord]:
    """Yield what stands for the records of a *batch* that was not unpacked."""
    for offset in range(batch.base_offset, batch.next_offset):
        yield UnreadRecord(offset, batch.max_timestamp, batch.timestamp_type)


def limit_unpacking() -> None:
    """Make every aiokafka consumer of this process raise BatchNotUnpacked instead of unpacking more, from now on.

    Snappy needs no limit of its own: it makes at most 21 times as much of a batch.
    """
    for module in (compiled, pure):
        module.gzip_decode = _gunzip
        module.lz4_decode = _limited(cramjam.lz4.decompress_into)
        module.zstd_decode = _limited(cramjam.zstd.decompress_into)


def return_large_blocks() -> None:
    """Make glibc give blocks of LARGE_BLOCK bytes and more back to the system when they are freed, from now on.

    By itself it raises that limit up to 32 MiB, and keeps what is smaller: after some large records a process stayed
    100 MiB larger. With another C library nothing changes.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def _gunzip(packed: Any) -> bytes:
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacking.decompress(packed, LARGEST_BATCH)
    except zlib.error:
        raise BatchNotUnpacked from None
    if not unpacking.eof:
        raise BatchNotUnpacked
    return unpacked


def _limited(unpack_into: Callable[[Any, bytearray], int]) -> Callable[[Any], bytes]:
    def unpack(packed: Any) -> bytes:
        for size in sorted({min(times * len(packed), LARGEST_BATCH) for times in _TIMES}):
            unpacked = bytearray(size)
            try:
                return bytes(memoryview(unpacked)[: unpack_into(packed, unpacked)])
            except cramjam.DecompressionError:
                continue
        raise BatchNotUnpacked

    return unpack
