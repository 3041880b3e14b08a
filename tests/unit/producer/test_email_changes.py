"""Email changes in the outbox: an event of the former email never follows the change of the email to Kafka."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.relay.lanes import Lanes, Place
from producer.relay.publisher import Publisher
from producer.relay.row import Row
from tests.samples import PAYLOADS, envelope, value

PARTITIONS = 3
NAMES = st.sampled_from(["ada", "grace", "lena"])
DRAWN = st.lists(st.tuples(NAMES, st.none() | NAMES, st.sampled_from("ab")), max_size=40)


def address(name: str) -> str:
    return f"{name}@example.com"


def row(position: int, name: str, former: str | None = None, topic: str = "a") -> Row:
    changed = {"email": address(name), "previous_email": former and former.upper() + "@example.com"}
    payload = PAYLOADS["merchant_contact_updated"] | changed
    made = value(envelope("merchant_contact_updated", position, address(name), payload=payload)).decode()
    return Row(position, f"id{position}", address(name), topic, position, made, None)


def lanes() -> Lanes:
    return Lanes(lambda row: row.type, PARTITIONS)


def ready(sorted_: Lanes) -> list[int]:
    return sorted(row.position for rows in sorted_.ready.values() for row in rows)


def sent(sorted_: Lanes) -> list[Row]:
    rows = [row for rows in sorted_.ready.values() for row in rows]
    sorted_.ready.clear()
    return rows


def deleted(sorted_: Lanes) -> None:
    sorted_.deleted(sorted_.before_deletion())


@pytest.mark.parametrize("payload", [None, "", "[]", '{"payload": []}', '{"payload": {"previous_email": 7}}'])
def test_a_row_by_hand_changes_no_email(payload: str | None) -> None:
    assert row(1, "grace")._replace(payload=payload).former_key is None


def test_the_former_email_is_read_as_a_contact_key_and_counts_only_if_it_is_another() -> None:
    assert row(1, "grace", "ada").former_key == "ada@example.com"
    assert row(1, "grace", "grace").former_key is None
    assert row(1, "grace").former_key is None


def test_an_email_change_waits_until_the_events_of_the_former_email_are_published_and_deleted() -> None:
    sorted_ = lanes()
    sorted_.take([row(1, "ada"), row(2, "grace", "ada"), row(3, "grace")])
    assert ready(sorted_) == [1]
    assert not sorted_.wait_for_deletion

    sorted_.published(sent(sorted_))
    assert ready(sorted_) == []
    assert sorted_.wait_for_deletion

    deleted(sorted_)
    assert ready(sorted_) == [2]

    sorted_.published(sent(sorted_))
    assert ready(sorted_) == [3]


def test_later_events_of_the_former_email_wait_for_the_change() -> None:
    sorted_ = lanes()
    sorted_.take([row(1, "grace", "ada"), row(2, "ada")])
    assert ready(sorted_) == []

    deleted(sorted_)
    assert ready(sorted_) == [1]

    sorted_.published(sent(sorted_))
    assert ready(sorted_) == [2]


def test_two_contacts_that_swap_their_emails_do_not_wait_for_each_other() -> None:
    sorted_ = lanes()
    sorted_.take([row(1, "ada"), row(2, "grace"), row(3, "grace", "ada"), row(4, "ada", "grace")])
    order = []

    for _ in range(3):
        order.append(ready(sorted_))
        sorted_.published(sent(sorted_))
        deleted(sorted_)

    assert order == [[1, 2], [3], [4]]


@given(DRAWN, st.data())
def test_whatever_is_acknowledged_when_no_event_passes_an_earlier_one_of_its_emails(
    drawn: Sequence[tuple[str, str | None, str]], data: st.DataObject
) -> None:
    rows = [row(position, *one) for position, one in enumerate(drawn)]
    sorted_, unread = lanes(), list(rows)
    flying: dict[Place, list[Row]] = {}
    acknowledged: set[int] = set()
    gone: set[int] = set()
    while len(acknowledged) < len(rows):
        possible = ["read"] * bool(unread) + ["send"] * bool(sorted_.ready) + ["acknowledge"] * bool(flying)
        step = data.draw(st.sampled_from([*possible, *["delete"] * sorted_.wait_for_deletion]))
        if step == "read":
            sorted_.take([unread.pop(0)])
        elif step == "send":
            place = data.draw(st.sampled_from([*sorted_.ready]))
            going = sorted_.ready.pop(place)
            for one in going:
                flying.setdefault(place, []).append(one)
                _none_is_passed(one, rows, acknowledged, gone, flying[place])
        elif step == "acknowledge":
            published = flying.pop(data.draw(st.sampled_from([*flying])))
            acknowledged |= {one.position for one in published}
            sorted_.published(published)
        else:
            changes = sorted_.before_deletion()
            gone |= acknowledged
            sorted_.deleted(changes)

    assert sorted_._lanes == {}
    assert not sorted_.ready


def _none_is_passed(
    one: Row, rows: Iterable[Row], acknowledged: set[int], gone: set[int], beside: Sequence[Row]
) -> None:
    before = [each for each in rows if each.position < one.position and _emails(each) & _emails(one)]
    done = gone if one.former_key else acknowledged | {each.position for each in beside}
    assert {each.position for each in before} <= done


def _emails(one: Row) -> set[str | None]:
    return {one.key, one.former_key} - {None}


class Outbox:
    """Two rows, the second of which changes the email of the first; `done` notes what is deleted."""

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.rows = [row(1, "ada"), row(2, "grace", "ada")]

    async def raise_low_watermark(self) -> None:
        """Nothing else is written."""

    def rewind(self) -> None:
        """All is read."""

    async def head(self, rows: int, *, without: Iterable[int]) -> list[Row]:
        known = set(without)
        return [one for one in self.rows if one.position not in known][:rows]

    async def delete(self, positions: Sequence[int]) -> None:
        await asyncio.sleep(0.01)
        self.rows = [one for one in self.rows if one.position not in positions]
        self.done.append(f"deleted {[*positions]}")

    async def fall_asleep(self) -> bool:
        return False


class Sender:
    unpublishable = frozenset[int]()

    def __init__(self, done: list[str]) -> None:
        self.done = done

    async def send(self, _place: Place, rows: Sequence[Row]) -> int:
        self.done.append(f"sent {[one.position for one in rows]}")
        return len(rows)


async def test_a_relay_that_takes_over_finds_no_event_of_the_former_email_behind_the_change() -> None:
    done: list[str] = []
    stop = asyncio.Event()
    outbox, sender = cast("Any", Outbox(done)), cast("Any", Sender(done))
    publisher = Publisher(
        outbox, sender, lanes(), slow_poll_s=1.0, goes_on=lambda place: stop.set() if place is None else None
    )

    async with asyncio.timeout(5):
        assert await publisher.run(stop) is None

    assert done == ["sent [1]", "deleted [1]", "sent [2]", "deleted [2]"]
