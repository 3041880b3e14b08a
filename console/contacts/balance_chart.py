"""The balance chart: a contact's balance and totals, event by event, as the lines of an SVG picture and as words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from console.contacts.traced import TracedEvent
from console.contacts.wording import nova
from schemas.events import NovaEarned, NovaRedeemed

WIDTH: Final = 300
HEIGHT: Final = 64
# Half of a line's width stays inside of the picture.
_MARGIN: Final = 2


@dataclass(frozen=True)
class Line:
    """One line: its value after the last event in cents, and the data of its SVG path. *name* is its CSS class too."""

    name: str
    cents: int
    path: str


@dataclass(frozen=True)
class BalanceChart:
    lines: Sequence[Line]
    words: str
    zero: float
    """How far below the top of the picture the amount 0 is."""


@dataclass
class _Amounts:
    """The amounts after one event in cents. The balance is unknown before an event tells it."""

    earned: int
    redeemed: int
    balance: int | None


def balance_chart(events: Iterable[TracedEvent]) -> BalanceChart | None:
    """Return the chart of *events*, which are in order; None if they are about no Nova."""
    steps = list(_steps(events))
    if not any(each.earned or each.redeemed or each.balance for each in steps):
        return None
    series: dict[str, Sequence[int | None]] = {
        "earned": [each.earned for each in steps],
        "redeemed": [each.redeemed for each in steps],
        "balance": [each.balance for each in steps],
    }
    amounts = [0, *(cents for values in series.values() for cents in values if cents is not None)]
    low, high = min(amounts), max(amounts)
    lines = [
        Line(name, last, _path(values, low, high))
        for name, values in series.items()
        if (last := values[-1]) is not None
    ]
    ends = {each.name: nova(each.cents) for each in lines}
    balance = [cents for cents in series["balance"] if cents is not None]
    told = f"The balance is {ends['balance']}, and was {nova(min(balance))} to {nova(max(balance))}" if balance else ""
    totals = f"{ends['earned']} earned, {ends['redeemed']} redeemed"
    return BalanceChart(lines, f"{told or 'No balance is known'}; {totals}.", zero=_top(0, low, high))


def _steps(events: Iterable[TracedEvent]) -> Iterable[_Amounts]:
    balance: int | None = None
    for envelope in filter(None, (each.envelope for each in events)):
        if isinstance(envelope.payload, NovaEarned | NovaRedeemed):
            balance = envelope.payload.new_balance_cents
        yield _Amounts(envelope.totals.nova_earned_cents, envelope.totals.nova_redeemed_cents, balance)


def _path(values: Sequence[int | None], low: int, high: int) -> str:
    """Return a path of steps: each event has the same width, so that a busy hour and a quiet year can both be read."""
    wide = WIDTH / len(values)
    path, began = "", False
    for number, cents in enumerate(values):
        if cents is not None:
            top = _top(cents, low, high)
            path += f"{'V' if began else f'M{number * wide:.1f} '}{top:.1f}H{(number + 1) * wide:.1f}"
            began = True
    return path


def _top(cents: int, low: int, high: int) -> float:
    return HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (cents - low) / max(high - low, 1)
