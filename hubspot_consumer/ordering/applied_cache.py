"""The LRU cache of what was applied last: contacts that were finished recently need no look-up."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hubspot_consumer.ordering.lane import Lane
from schemas.contacts import ContactKey

# One that was forgotten costs a hundredth of a call.
REMEMBERED_CONTACTS: Final = 50_000


@dataclass
class _Known:
    applied: int
    done: int
    contact_id: str | None


class AppliedCache:
    """What their lanes knew of each; whoever was finished longest ago is forgotten first."""

    def __init__(self) -> None:
        self._contacts: OrderedDict[ContactKey, _Known] = OrderedDict()

    def keep(self, lane: Lane) -> None:
        """Remember a lane that ends."""
        if lane.applied is not None:
            self._contacts[lane.key] = _Known(lane.applied, lane.done, lane.contact_id)
            if len(self._contacts) > REMEMBERED_CONTACTS:
                self._contacts.popitem(last=False)

    def begin(self, lane: Lane) -> None:
        """Let a lane that begins take what is remembered."""
        if (known := self._contacts.pop(lane.key, None)) is not None:
            lane.applied, lane.done, lane.contact_id = known.applied, known.done, known.contact_id

    def learn(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Take what somebody else wrote, of a contact that is remembered."""
        if (known := self._contacts.get(key)) is not None and sequence > known.applied:
            known.applied = sequence
            known.contact_id = contact_id or known.contact_id

    def forget(self, key: ContactKey) -> None:
        self._contacts.pop(key, None)

    def clear(self) -> None:
        self._contacts.clear()
