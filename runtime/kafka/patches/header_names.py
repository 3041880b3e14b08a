"""Headers' names of any bytes. Kafka takes them, and aiokafka can read only UTF-8: one other name stopped its whole
partition.
"""

from collections.abc import Iterator
from typing import Any, Final, SupportsIndex, overload

import aiokafka.consumer.fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from runtime.kafka.patches.unpacking import BatchNotUnpacked, unread

# Offset and length of a batch, which its length does not include.
_BEFORE_A_BATCH: Final = 12


def read_any_header_names() -> None:
    """Make every aiokafka consumer of this process read names that are no UTF-8, with replaced letters, from now on."""
    aiokafka.consumer.fetcher.MemoryRecords = _Records


class _Records:
    """What one partition's part of a fetch has, as aiokafka's fetcher uses it."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched: Final = fetched
        self._records: Final = MemoryRecords(fetched)
        self._at = 0

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def next_batch(self) -> "_Batch":
        begins = self._at
        length = int.from_bytes(self._fetched[begins + 8 : begins + _BEFORE_A_BATCH])
        self._at += _BEFORE_A_BATCH + length
        return _Batch(self._records.next_batch(), self._fetched, slice(begins, self._at))


class _Batch:
    """A batch of records. It is read again, slowly, if aiokafka can't read a name, and passed by if it is too large."""

    def __init__(self, batch: Any, fetched: bytes, place: slice) -> None:
        self._batch: Final = batch
        self._fetched: Final = fetched
        self._place: Final = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except BatchNotUnpacked:
            yield from unread(self._batch)
        except UnicodeDecodeError:
            again: Any = _DefaultRecordBatchPy(self._fetched[self._place])
            again._maybe_uncompress()  # noqa: SLF001 - no public way
            again._buffer = _Octets(again._buffer)  # noqa: SLF001 - see above
            # The fetcher passes over the records that it has already.
            yield from again


class _Octets(bytearray):
    """Bytes of which each part can be decoded."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> "_Octets": ...
    def __getitem__(self, at: SupportsIndex | slice) -> "int | _Octets":
        return _Octets(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
