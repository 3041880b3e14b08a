"""Whatever is set aside, resolved and deleted, and however it is read: pages show what one reading of all shows."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.dead_letters import shelves as shelves_module
from console.dead_letters.selection import cursor_of, read_cursor
from console.dead_letters.shelves import Page, Shelves
from hubspot_consumer.dead_letters.assembly import Assembly, Change
from hubspot_consumer.dead_letters.dead_letter import LetterFilter, dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.resolutions import OPEN, DeadAgain, Discarded, Redriven, Resolutions
from schemas.topics import Topics
from tests.kafka.dead_letters import AT, AT_MS, as_read, headers, letters, resolution_as_read

PARTITIONS = st.integers(0, 1)
SMALL = st.integers(0, 4)
REASONS = ["rejected_by_hubspot", "invalid_envelope"]
STEPS = st.one_of(
    st.tuples(st.just("set_aside"), PARTITIONS, SMALL),
    st.tuples(st.just("resolve"), PARTITIONS, SMALL),
    st.tuples(st.just("delete"), PARTITIONS, SMALL),
    st.tuples(st.just("read"), st.just(0), st.just(0)),
)
FILTERS = [
    LetterFilter(),
    LetterFilter(reasons=frozenset(REASONS[:1])),
    LetterFilter(states=OPEN | {"redriven", "discarded"}),
    LetterFilter(event_types=frozenset({"nova_redeemed"})),
    LetterFilter(contact="c1@example.com"),  # type: ignore[arg-type]
]


class Topic:
    """What is on both topics."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.resolutions: list[Any] = []
        self.ends = [0, 0]

    def set_aside(self, partition: int, number: int) -> Any:
        offset, event_type = self.ends[partition], ("nova_earned", "nova_redeemed")[number % 2]
        self.ends[partition] += 1
        # Some are of the same event, and times are neither in order nor distinct.
        marks = headers(
            str(number), reason=REASONS[number % 2], event_type=event_type, failed_at=AT - timedelta(hours=number % 3)
        )
        key = f"c{number % 3}@example.com".encode()
        self.records.append(as_read(offset, partition, key=key, headers=marks, at_ms=AT_MS + 7 * offset))
        return self.records[-1]

    def resolve(self, partition: int, number: int) -> Any:
        made = (
            Redriven(at=AT),
            Discarded(at=AT, note="so"),
            DeadAgain(at=AT + timedelta(hours=1), reason=REASONS[0], detail=""),
            None,
        )[number % 4]
        self.resolutions.append(resolution_as_read(f"{partition}-{number}", made, len(self.resolutions)))
        return self.resolutions[-1]

    def delete(self, partition: int, before: int) -> None:
        self.records = [each for each in self.records if each.partition != partition or each.offset >= before]


@pytest.mark.parametrize("few", [0, 1_000])
@given(st.lists(STEPS, max_size=40))
def test_dead_letters_read_in_steps_are_those_read_at_once(few: int, steps: list[tuple[str, int, int]]) -> None:
    topic, assembly, shelves = Topic(), Assembly(Topics()), Shelves()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelves_module, "FEW", few)
        for step, partition, number in [*steps, ("read", 0, 0)]:
            match step:
                case "set_aside":
                    assembly.set_aside(topic.set_aside(partition, number))
                case "resolve":
                    assembly.resolve(topic.resolve(partition, number))
                case "delete":
                    topic.delete(partition, number)
                    assembly.forget(partition, number)
                case _:
                    before = {which: shelves.page(which, 9) for which in FILTERS}
                    newer = shelves.changed(assembly.changes())
                    assert {which: shelves.page(which, 9) for which in FILTERS} == before
                    shelves = newer

    resolutions = Resolutions()
    for each in topic.resolutions:
        resolutions.take_in(each)
    expected = dead_letters_of([read_set_aside(each, Topics()) for each in topic.records], resolutions)
    expected.sort(key=lambda letter: letter.begun())
    assert assembly.letters == expected
    assert all(assembly.of_id(name) == letter for letter in expected for name in letter.ids)
    for which in FILTERS:
        taken = [letter for letter in expected if which.takes(letter)]
        assert list(shelves.all(which)) == taken[::-1]
        assert pages(shelves, which) == [
            Page(len(taken), newer, taken[::-1][newer : newer + 3]) for newer in range(0, max(len(taken), 1), 3)
        ]
    opened = [letter for letter in expected if letter.is_open]
    assert {group.reason: list(group.times) for group in shelves.groups} == {
        reason: sorted(letter.failed_at for letter in opened if letter.reason == reason)
        for reason in {letter.reason for letter in opened}
    }
    assert all(group.newest.failed_at == group.last for group in shelves.groups)
    assert {group.reason: group.contacts for group in shelves.groups} == {
        reason: len({letter.key for letter in opened if letter.reason == reason})
        for reason in {letter.reason for letter in opened}
    }
    sizes = [(group.contacts, len(group.times)) for group in shelves.groups]
    assert sizes == sorted(sizes, reverse=True)


def pages(shelves: Shelves, which: LetterFilter) -> list[Page]:
    """Return all pages of three, each found by the last dead letter of the page before."""
    found = [shelves.page(which, 3)]
    while found[-1].newer + len(found[-1].letters) < found[-1].found:
        found.append(shelves.page(which, 3, read_cursor(cursor_of(found[-1].letters[-1]))))
    return found


def test_the_cause_of_the_most_contacts_is_worse_than_that_of_the_most_events() -> None:
    reasons: dict[str, list[str | None]] = {
        "too_large": ["a@x", "a@x", "a@x"],
        "missing_key": [None] * 4,
        "key_mismatch": ["a@x", "b@x"],
    }
    set_aside = [
        as_read(offset, key=key.encode() if key else None, headers=headers(str(offset), reason=reason))
        for offset, (reason, key) in enumerate((reason, key) for reason, keys in reasons.items() for key in keys)
    ]

    groups = Shelves().changed(Change(None, letter) for letter in letters(set_aside)).groups

    assert [(group.reason, group.contacts, len(group.times)) for group in groups] == [
        ("key_mismatch", 2, 2),
        ("too_large", 1, 3),
        ("missing_key", 0, 4),
    ]


def test_a_reading_changes_only_the_dead_letters_that_it_is_about() -> None:
    topic, assembly = Topic(), Assembly(Topics())
    for number in range(5):
        assembly.set_aside(topic.set_aside(0, number))
    assert len(assembly.changes()) == 5
    assert assembly.changes() == []

    assembly.resolve(resolution_as_read("0-3", Redriven(at=AT), 0))
    assembly.set_aside(topic.records[0])

    [change] = assembly.changes()
    assert isinstance(change, Change)
    assert [letter and letter.state for letter in change] == ["dead", "redriven"]
