"""Header names of any bytes: aiokafka's fetcher reads the records around them, and these too."""

from typing import Any

import aiokafka.consumer.fetcher
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from runtime.kafka.patches import header_names
from runtime.kafka.patches.header_names import read_any_header_names

PLACE = TopicPartition("lifecycle.nova_earned", 0)


class Name(str):
    """A name that a client in another language wrote in Latin-1."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return str(self).encode("latin-1")


def batch(first: int, *names: str, codec: int) -> bytes:
    options = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
    builder = _DefaultRecordBatchBuilderPy(magic=2, compression_type=codec, batch_size=1 << 20, **options)
    for offset, name in enumerate(names):
        builder.append(offset, timestamp=1, key=b"k", value=name.encode("utf-8"), headers=[(Name(name), b"v")])
    octets = builder.build()
    octets[0:8] = first.to_bytes(8)
    return bytes(octets)


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Restored afterwards: other tests of this process have clients too.
    monkeypatch.setattr(aiokafka.consumer.fetcher, "MemoryRecords", MemoryRecords)
    return aiokafka.consumer.fetcher


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_name_that_is_no_utf8_is_read_with_replaced_letters_and_stops_no_other_record(
    fetcher: Any, codec: int
) -> None:
    fetched = (
        batch(5, "a", "b", codec=codec)
        + batch(7, "c", "gr\u00f6\u00dfe", "d", codec=codec)
        + batch(10, "e", codec=codec)
    )
    read_any_header_names()

    records = list(
        PartitionRecords(
            PLACE, fetcher.MemoryRecords(fetched), [], 6, None, None, check_crcs=True, isolation_level=READ_UNCOMMITTED
        )
    )

    assert [(one.offset, one.headers[0][0]) for one in records] == [
        (6, "b"),
        (7, "c"),
        (8, "gr\ufffd\ufffde"),
        (9, "d"),
        (10, "e"),
    ]
    assert all((one.key, one.headers[0][1]) == (b"k", b"v") for one in records)


def test_a_batch_that_can_be_read_is_read_once(fetcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_names, "_DefaultRecordBatchPy", None)
    read_any_header_names()

    records = fetcher.MemoryRecords(batch(0, "a", "b", codec=1))

    assert records.has_next()
    assert [one.offset for one in records.next_batch()] == [0, 1]
    assert not records.has_next()
