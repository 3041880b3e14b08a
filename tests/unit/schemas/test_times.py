"""The times of records: Kafka takes any 64 bits for one, and whoever reads it goes on."""

import json
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.contacts.extract import IndexedEvent
from console.web.view import utc
from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.resolutions import DeadAgain, Mended, Resolutions
from hubspot_consumer.history.store import Stored
from hubspot_consumer.holds.hold import OtherRun
from hubspot_consumer.holds.run import AnotherRun
from hubspot_consumer.hubspot.account import Usage, read_usage
from hubspot_consumer.kafka.faust_worker import _record
from schemas.contacts import ContactKey
from schemas.deliveries import Receipt
from schemas.times import EARLIEST, LATEST, moment_of, utc_milliseconds
from tests.kafka.dead_letters import AT, headers, letter, resolution_as_read
from tests.samples import EMAIL, UNTELLABLE

ANY_TIMES = (2**63 - 1, -(2**63), 253402300800000, -62135596800001, -1, 0)


@pytest.mark.parametrize("at_ms", ANY_TIMES)
def test_every_reader_of_a_record_takes_any_number_for_its_time(at_ms: int) -> None:
    message = SimpleNamespace(topic="t", partition=0, offset=0, key=b"", value=b"", headers=(), timestamp=at_ms)

    read = _record(message).timestamp

    assert read == moment_of(at_ms / 1000)
    assert EARLIEST <= read <= LATEST
    assert Stored(EMAIL, 1, "t", 0, 0, at_ms, b"").record().timestamp == read
    assert IndexedEvent("t", 0, 0, at_ms, ContactKey(EMAIL), 1, "", None, b"").published_at == read
    assert letter(headers=[], at_ms=at_ms).failed_at == read
    assert "last heard at" in str(AnotherRun(OtherRun("replay", at_ms / 1000, 60.0)))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
@example(0, 1)
def test_of_two_records_the_later_one_has_no_earlier_time(one: int, other: int) -> None:
    earlier, later = (moment_of(at_ms / 1000) for at_ms in sorted((one, other)))

    assert EARLIEST <= earlier <= later <= LATEST
    assert utc(later).endswith(" UTC")


@pytest.mark.parametrize("time", UNTELLABLE)
def test_a_record_of_ours_with_a_time_that_no_utc_has_stays_readable(time: str) -> None:
    told = {"event_id": None, "type": "t", "sequence": 1, "outcome": "delivered", "attempts": 1, "topic": "t"}
    receipt = Receipt.model_validate_json(
        json.dumps({**told, "partition": 0, "offset": 0, "at": time, "published_at": time})
    )
    dead = DeadAgain(at=AT, reason="x", detail="")
    mended = Mended(at=AT, mend=Correction(unset=("x",), note="n"), reason="x", detail="", failed_at=AT)

    assert utc(receipt.at) == utc(receipt.published_at)
    for resolution in (dead, mended):
        value = resolution.model_dump_json().replace("2024-11-24T03:00:00Z", time)
        assert time in value
        resolutions = Resolutions()
        resolutions.take_in(resolution_as_read("0-0", value.encode(), 0))
        read = letter(resolutions, headers=headers())
        assert (read.state, utc(read.failed_at)) == (resolution.state, utc(receipt.at))


@pytest.mark.parametrize("time", UNTELLABLE)
def test_what_hubspot_tells_of_a_reset_that_no_utc_has_is_passed_over(time: str) -> None:
    body = {"results": [{"usageLimit": 10, "currentUsage": 1, "resetsAt": time}]}
    elsewhere = {"results": [{"usageLimit": 10, "currentUsage": 1, "resetsAt": "2026-11-24T01:00:00+01:00"}]}

    assert read_usage(httpx.Response(200, json=body)) == Usage(10, 1, None)
    assert read_usage(httpx.Response(200, json=elsewhere)) == Usage(10, 1, datetime(2026, 11, 24, tzinfo=UTC))


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=st.just(UTC) | OFFSETS))
@example(EARLIEST)
@example(LATEST)
@example(datetime(2026, 11, 24, 3, 0, 0, 999, UTC))
@example(EARLIEST.replace(tzinfo=timezone(timedelta(hours=1))))
@example(LATEST.replace(tzinfo=timezone(timedelta(minutes=-1))))
def test_hubspot_reads_a_time_in_utc_to_the_millisecond_or_as_it_was_given(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC).strftime("%4Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    except OverflowError:
        expected = moment.isoformat()

    assert utc_milliseconds(moment) == expected
