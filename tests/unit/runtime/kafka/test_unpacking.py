"""Compressed batches: each is unpacked up to a limit, and a larger one is passed by, record by record."""

import gzip
import platform
import subprocess
import sys
import tracemalloc
import zlib
from typing import Any

import aiokafka.consumer.fetcher
import aiokafka.record._crecords.default_records as compiled
import aiokafka.record.default_records as pure
import cramjam
import pytest
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_consumer.kafka.records import Record
from runtime.kafka.clients import prepare_clients
from runtime.kafka.patches.unpacking import LARGEST_BATCH, BatchNotUnpacked
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.times import moment_of
from tests.unit.runtime.kafka.test_header_names import PLACE, batch

PACKERS = {
    "gzip_decode": lambda octets: gzip.compress(octets, 1),
    "lz4_decode": lambda octets: bytes(cramjam.lz4.compress(octets)),
    "zstd_decode": lambda octets: bytes(cramjam.zstd.compress(octets)),
}
CODECS = {"gzip_decode": 1, "lz4_decode": 3, "zstd_decode": 4}


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    # Restored afterwards: other tests of this process have clients too.
    monkeypatch.setattr(aiokafka.consumer.fetcher, "MemoryRecords", aiokafka.consumer.fetcher.MemoryRecords)
    for module in (compiled, pure):
        for name in PACKERS:
            monkeypatch.setattr(module, name, getattr(module, name))
    prepare_clients()


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [0, 1, 1_000, 1 << 20, LARGEST_BATCH])
def test_a_batch_within_the_limit_is_unpacked(name: str, size: int) -> None:
    octets = b"v" * size

    assert getattr(compiled, name)(PACKERS[name](octets)) == octets


@settings(max_examples=50)
@given(name=st.sampled_from(sorted(PACKERS)), octets=st.binary(max_size=2_000))
def test_any_octets_are_unpacked_as_they_were(name: str, octets: bytes) -> None:
    assert getattr(pure, name)(PACKERS[name](octets)) == octets


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [LARGEST_BATCH + 1, 8 * LARGEST_BATCH])
def test_a_larger_batch_takes_no_more_memory_than_two_of_the_largest(name: str, size: int) -> None:
    packed = PACKERS[name](b"v" * size)

    tracemalloc.start()
    with pytest.raises(BatchNotUnpacked):
        getattr(compiled, name)(packed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2.1 * LARGEST_BATCH


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("packed", [b"", b"garbage" * 100, b"\x1f\x8b"])
def test_what_is_no_batch_is_not_unpacked(name: str, packed: bytes) -> None:
    with pytest.raises(BatchNotUnpacked):
        getattr(compiled, name)(packed)


@pytest.mark.parametrize("name", PACKERS)
def test_records_of_a_larger_batch_are_dead_letters_and_those_around_them_are_read(name: str) -> None:
    codec = CODECS[name]
    large = "x" * (LARGEST_BATCH // 2 + 1)
    fetched = batch(5, "a", codec=codec) + large_batch(6, large, codec) + batch(8, "b", codec=codec)
    records = aiokafka.consumer.fetcher.MemoryRecords(fetched)

    read = list(PartitionRecords(PLACE, records, [], 5, None, None, check_crcs=True, isolation_level=READ_UNCOMMITTED))

    assert [one.offset for one in read] == [5, 6, 7, 8]
    assert [one.value for one in read if one.key == b"k"] == [b"a", b"b"]
    for one in read[1:3]:
        with pytest.raises(UnreadableRecord) as refused:
            read_envelope(one.key, one.value)
        assert refused.value.reason == "invalid_envelope"
        moment = moment_of(one.timestamp / 1000)
        assert Record(one.topic, one.partition, one.offset, moment, one.key, one.value, one.headers).contact_key is None
        assert b"nobody has read it" in one.value


def large_batch(first: int, value: str, codec: int) -> bytes:
    options: dict[str, Any] = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
    builder = pure._DefaultRecordBatchBuilderPy(magic=2, compression_type=codec, batch_size=1 << 30, **options)
    for offset in range(2):
        builder.append(offset, timestamp=1, key=b"large", value=value.encode(), headers=[])
    octets = builder.build()
    octets[0:8] = first.to_bytes(8)
    return bytes(octets)


GROWN = """
from pathlib import Path
from runtime.kafka.patches.unpacking import return_large_blocks

def resident_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024

if %s:
    return_large_blocks()
before, kept = resident_mib(), []
# The first block that is freed raises glibc's limit. The small ones keep it from returning the heap's end.
del (first := [bytes(30 << 20)])[0]
for _ in range(12):
    block = bytes(8 << 20)
    kept.append(bytes(100_000))
    del block
    block = bytearray(b"x") * (8 << 20)
    kept.append(bytes(100_000))
    del block
print(resident_mib() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is an option of glibc")
def test_memory_of_large_blocks_goes_back_to_the_system() -> None:
    grown = [
        int(subprocess.run([sys.executable, "-c", GROWN % on], capture_output=True, text=True, check=True).stdout)
        for on in (False, True)
    ]

    assert grown[1] < 4 < grown[0]


def test_gzip_that_ends_in_the_middle_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(range(256)) * 100)

    with pytest.raises(BatchNotUnpacked):
        getattr(compiled, "gzip_decode")(packed[:-10])  # noqa: B009 - the module has no types
    assert zlib.decompress(packed, zlib.MAX_WBITS | 16)
