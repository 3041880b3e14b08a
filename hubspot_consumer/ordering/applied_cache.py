"""An LRU cache of the last applied sequence per contact: recently finished contacts need no look-up."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from hubspot_consumer.ordering.lane import Lane
from schemas.contacts import ContactKey

# An evicted contact costs a hundredth of a call, because one look-up reads 100 contacts.
REMEMBERED_CONTACTS: Final = 50_000
# A sequence and an event's id.
_ID: Final = Struct(">Q16s")


@dataclass(slots=True)
class _Known:
    """The state of a closed lane. The ids are packed: as a dict they were three quarters of the cache's memory."""

    applied: int
    done: int
    contact_id: str | None
    ids: bytes


class AppliedCache:
    """Stores the state of closed lanes; the contact whose lane closed longest ago is evicted first."""

    def __init__(self) -> None:
        self._contacts: OrderedDict[ContactKey, _Known] = OrderedDict()

    def keep(self, lane: Lane) -> None:
        """Store the state of a lane that closes, unless it is unsure: then the contact is looked up again."""
        if lane.applied is not None and not lane.unsure:
            self._contacts[lane.key] = _Known(lane.applied, lane.done, lane.contact_id, _packed(lane.ids))
            if len(self._contacts) > REMEMBERED_CONTACTS:
                self._contacts.popitem(last=False)

    def begin(self, lane: Lane) -> None:
        """Move the stored state of a contact, if any, into its new lane."""
        if (known := self._contacts.pop(lane.key, None)) is not None:
            lane.applied, lane.done = known.applied, known.done
            lane.contact_id, lane.ids = known.contact_id, _unpacked(known.ids)

    def learn(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Update a cached contact with a newer sequence that another writer applied."""
        if (known := self._contacts.get(key)) is not None and sequence > known.applied:
            known.applied = sequence
            known.contact_id = contact_id or known.contact_id

    def forget(self, key: ContactKey) -> None:
        self._contacts.pop(key, None)

    def clear(self) -> None:
        self._contacts.clear()


def _packed(ids: Mapping[int, int]) -> bytes:
    return b"".join(_ID.pack(sequence, event_id.to_bytes(16)) for sequence, event_id in ids.items())


def _unpacked(packed: bytes) -> dict[int, int]:
    return {sequence: int.from_bytes(event_id) for sequence, event_id in _ID.iter_unpack(packed)}
