"""The memory: what was applied last of contacts that were finished recently, so that they need no look-up."""

from collections import OrderedDict
from typing import Final

from hubspot_consumer.lane import Lane
from schemas.contacts import ContactKey

# One that was forgotten costs a hundredth of a call.
REMEMBERED_CONTACTS: Final = 50_000


class Memory:
    """The last applied sequence and the id of each; whoever was finished longest ago is forgotten first."""

    def __init__(self) -> None:
        self._applied: OrderedDict[ContactKey, tuple[int, str | None]] = OrderedDict()
        # Whose events up to there may be unread still.
        self._written_by_others: set[ContactKey] = set()

    def keep(self, lane: Lane) -> None:
        """Remember a lane that ends."""
        if lane.applied is not None:
            self._applied[lane.key] = (lane.applied, lane.contact_id)
            if len(self._applied) > REMEMBERED_CONTACTS:
                oldest, _ = self._applied.popitem(last=False)
                self._written_by_others.discard(oldest)

    def begin(self, lane: Lane, now: float) -> None:
        """Let a lane that begins take what is remembered."""
        if (memory := self._applied.pop(lane.key, None)) is not None:
            lane.applied, lane.contact_id = memory
            if lane.key in self._written_by_others:
                self._written_by_others.remove(lane.key)
                lane.looked_up_at = now

    def learn(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Take what somebody else wrote, of a contact that is remembered."""
        if (memory := self._applied.get(key)) is not None and sequence > memory[0]:
            self._applied[key] = (sequence, contact_id or memory[1])
            self._written_by_others.add(key)

    def forget(self, key: ContactKey) -> None:
        self._applied.pop(key, None)
        self._written_by_others.discard(key)

    def clear(self) -> None:
        self._applied.clear()
        self._written_by_others.clear()
