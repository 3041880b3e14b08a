"""The filters of a contact's page: by type of event, and by the group of its state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

from console.contacts.history import EVENTS_ON_A_PAGE, History
from console.contacts.outbox import Parked
from console.contacts.traced import Hole, State, TracedEvent

StateGroup = Literal["delivered", "waiting", "dead_letter", "not_sent", "no_receipt", "missing"]
"""States that people look for together. The words are in addresses that people keep."""

# A page that is filtered looks through so many events, and one that is not through those that it shows.
LOOKED_THROUGH: Final = 200
_GROUPS: Final[Mapping[State, StateGroup]] = {
    "outbox": "waiting",
    "waiting": "waiting",
    "unknown": "waiting",
    "acked": "no_receipt",
    "delivered": "delivered",
    "redriven": "delivered",
    "dead_letter": "dead_letter",
    "discarded": "not_sent",
    "suppressed": "not_sent",
}
Item = TracedEvent | Hole | Parked


@dataclass(frozen=True)
class Shown:
    """What a filter takes of a history, in order of sequence.

    `before` is the bound of the page before it, if there is one. `types` and `groups` count what the history has, taken
    or not; they count all events of the contact if the history is `whole`.
    """

    history: History
    items: Sequence[TracedEvent | Hole]
    unnumbered: Sequence[TracedEvent]
    before: int | None
    types: Mapping[str, int]
    groups: Mapping[StateGroup, int]

    @property
    def whole(self) -> bool:
        return self.history.newest and self.history.before is None


@dataclass(frozen=True)
class Filter:
    """What is asked for; empty words ask for everything."""

    type: str = ""
    group: StateGroup | Literal[""] = ""

    def __bool__(self) -> bool:
        return bool(self.type or self.group)

    @property
    def window(self) -> int:
        """The number of events to look through."""
        return LOOKED_THROUGH if self else EVENTS_ON_A_PAGE

    def takes(self, item: Item) -> bool:
        if isinstance(item, Hole):
            # Nobody knows the type of a missing event. What retention has deleted is not missing.
            return not self or (self.group == "missing" and not self.type and not item.before_all)
        return self.type in ("", item.type) and self.group in ("", _group_of(item))

    def of(self, history: History) -> Shown:
        """Return the newest page of the events that the filter takes."""
        taken = [each for each in history.items if self.takes(each)]
        items = taken[-EVENTS_ON_A_PAGE:] if self else taken
        holes = (each for each in history.items if isinstance(each, Hole) and not each.before_all)
        return Shown(
            history,
            items,
            [each for each in history.unnumbered if self.takes(each)],
            before=_sequence_of(items[0]) if len(taken) > len(items) else history.before,
            types=Counter(each.type for each in history.events),
            groups=Counter(map(_group_of, chain[Item](history.events, holes))),
        )


def _group_of(item: Item) -> StateGroup:
    match item:
        case Hole():
            return "missing"
        case Parked():
            return "waiting"
        case _:
            return _GROUPS[item.state]


def _sequence_of(item: TracedEvent | Hole) -> int | None:
    return item.first if isinstance(item, Hole) else item.sequence
