"""A hold on the run's side: contacts that only the run may write for a limited time."""

from typing import Final

from hubspot_consumer.holds.listener import HoldListener
from hubspot_consumer.holds.records import FOR_S, Written
from runtime.clock import Clock
from schemas.contacts import ContactKey


class Hold:
    """Contacts that no worker writes until the hold ends, and the outcome of the run's writes."""

    def __init__(self, number: int, keys: frozenset[ContactKey], heard: HoldListener, clock: Clock) -> None:
        self.number: Final = number
        self.keys: Final = keys
        self.outcome: dict[ContactKey, Written] = {}
        self.touched = False
        self._heard = heard
        self._clock = clock
        self._ends_at = clock.monotonic() + FOR_S

    def touch(self) -> None:
        """Record that a call is about to begin: from now on the contacts may have been written."""
        self.touched = True

    def written(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Record that a contact was written as it is after the event *sequence*; workers continue after that."""
        if key not in self.keys:
            raise KeyError("this contact is not held")
        self.outcome[key] = Written(sequence=sequence, contact_id=contact_id)

    @property
    def time_left_s(self) -> float:
        """Seconds for which workers at least still leave these contacts alone; 0 after a takeover."""
        return 0.0 if self._heard.taken_over else max(0.0, self._ends_at - self._clock.monotonic())
