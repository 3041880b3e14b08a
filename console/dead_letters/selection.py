"""The selection: the dead letters that a person chose on the page, by their ids or by the page's filter."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlencode

from console.dead_letters.shelves import Cursor
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.resolutions import OPEN, State
from schemas.contacts import contact_key

STATES: Final[Mapping[str, frozenset[State]]] = {
    "open": OPEN,
    "mended": frozenset({"mended"}),
    "redriven": frozenset({"redriven"}),
    "discarded": frozenset({"discarded"}),
    "all": OPEN | {"redriven", "discarded"},
}
_CURSOR: Final = re.compile(r"(-?[0-9]{1,18})-([0-9]{1,10})-([0-9]{1,18})")


@dataclass(frozen=True)
class PageFilter:
    """The fields of the page's filter, as they were typed: they are in addresses and forms, so that each can be kept.

    Only open dead letters can be acted on, so a filter can stand for those that it finds if its state is `open`.
    """

    reason: str = ""
    type: str = ""
    q: str = ""
    state: str = "open"

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Self:
        return cls(*(str(form.get(name, default)) for name, default in _DEFAULTS.items()))

    def which(self) -> LetterFilter:
        """Return the filter. Raises ValueError if the contact is no email."""
        return LetterFilter(
            reasons=frozenset(filter(None, [self.reason])),
            event_types=frozenset(filter(None, [self.type])),
            contact=contact_key(self.q) if self.q.strip() else None,
            states=STATES.get(self.state, OPEN),
        )

    @property
    def fields(self) -> dict[str, str]:
        """The fields that are set."""
        return {name: value for name, default in _DEFAULTS.items() if (value := getattr(self, name)) != default}

    @property
    def can_act(self) -> bool:
        return STATES.get(self.state, OPEN) == OPEN

    @property
    def query(self) -> str:
        return urlencode(self.fields)

    @property
    def options(self) -> list[str]:
        """The options of `redrive` and `dead-letters discard` that select the same. Raises ValueError as `which`."""
        contact = self.which().contact
        return [
            *([f"--reason={self.reason}"] if self.reason else []),
            *([f"--event-type={self.type}"] if self.type else []),
            *([f"--contact={contact}"] if contact is not None else []),
        ]


_DEFAULTS: Final[Mapping[str, str]] = asdict(PageFilter())


@dataclass(frozen=True)
class Chosen:
    """The dead letters of a form: those with these *ids*, or else all that *filtered* finds."""

    ids: Sequence[str] = ()
    filtered: PageFilter = field(default_factory=PageFilter)

    @property
    def fields(self) -> dict[str, Any]:
        """The form's fields that choose the same again."""
        return {"ids": list(self.ids)} if self.ids else {"all": "yes", **self.filtered.fields}


def cursor_of(letter: Letter) -> str:
    """Return the text of an address after which older dead letters than this one are listed."""
    return "-".join(map(str, letter.begun()))


def read_cursor(text: str) -> Cursor | None:
    """Return the place that `cursor_of` gave as text; None for any other text."""
    found = _CURSOR.fullmatch(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
