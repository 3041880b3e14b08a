"""The chart of a contact's balance and totals: its lines, and the words for people who do not see it."""

import json
from typing import Any

import pytest

from console.contacts.balance_chart import BalanceChart, balance_chart
from console.contacts.extract import IndexedEvent
from console.contacts.index_rows import packed
from console.contacts.traced import TracedEvent
from console.contacts.wording import nova
from schemas.contacts import ContactKey
from tests.samples import EMAIL, PAYLOADS, envelope


def event(event_type: str, sequence: int, totals: tuple[int, int] = (0, 0), **payload: Any) -> TracedEvent:
    sums = dict(zip(("nova_earned_cents", "nova_redeemed_cents"), totals, strict=True))
    made = envelope(event_type, sequence, totals=sums, payload={**PAYLOADS[event_type], **payload})
    value = packed(json.dumps(made).encode())
    record = IndexedEvent(f"lifecycle.{event_type}", 0, sequence, 0, ContactKey(EMAIL), sequence, "", None, value)
    return TracedEvent(event_type, "", sequence, "delivered", None, record)


def chart(*events: TracedEvent) -> BalanceChart:
    found = balance_chart(events)
    assert found is not None
    return found


def test_each_event_is_a_step_of_the_same_width_from_its_totals_and_its_balance() -> None:
    drawn = chart(
        event("driver_signed_up", 1),
        event("nova_earned", 2, (1000, 0), new_balance_cents=1000),
        event("nova_redeemed", 3, (1000, 400), new_balance_cents=600),
    )

    assert [(each.name, each.cents, each.path) for each in drawn.lines] == [
        ("earned", 1000, "M0.0 62.0H100.0V2.0H200.0V2.0H300.0"),
        ("redeemed", 400, "M0.0 62.0H100.0V62.0H200.0V38.0H300.0"),
        ("balance", 600, "M100.0 2.0H200.0V26.0H300.0"),
    ]
    assert drawn.zero == 62


def test_the_words_say_what_the_picture_shows() -> None:
    drawn = chart(
        event("nova_earned", 1, (1000, 0), new_balance_cents=1000),
        event("nova_redeemed", 2, (1000, 1050), new_balance_cents=-50),
    )

    assert drawn.words == (
        "The balance is \N{MINUS SIGN}0.50 Nova, and was \N{MINUS SIGN}0.50 Nova to 10.00 Nova; "
        "10.00 Nova earned, 10.50 Nova redeemed."
    )


def test_totals_without_a_balance_are_drawn_too() -> None:
    drawn = chart(event("driver_signed_up", 8, (500, 0)))

    assert [each.name for each in drawn.lines] == ["earned", "redeemed"]
    assert drawn.words.startswith("No balance is known;")


def test_there_is_no_chart_of_events_without_nova_and_of_records_that_cannot_be_read() -> None:
    unread = TracedEvent("nova_earned", "", 2, "delivered", None)

    assert balance_chart([event("merchant_contact_created", 1), unread]) is None


@pytest.mark.parametrize(
    ("cents", "words"),
    [
        (450, "4.50 Nova"),
        (-5, "\N{MINUS SIGN}0.05 Nova"),
        (2**53 - 1, "90,071,992,547,409.91 Nova"),
    ],
)
def test_an_amount_of_cents_is_told_in_nova(cents: int, words: str) -> None:
    assert nova(cents) == words


def test_a_signed_amount_has_a_plus_unless_it_is_nothing() -> None:
    assert [nova(cents, signed=True) for cents in (450, 0)] == ["+4.50 Nova", "0.00 Nova"]
