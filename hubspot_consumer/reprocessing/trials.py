"""Trials: if HubSpot refuses a contact with dead letters that are to take effect, each of them is tried alone."""

from dataclasses import dataclass, field

from hubspot_consumer.history.projection import Projection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.kafka.records import Place
from schemas.contacts import ContactKey
from schemas.envelope import Envelope


@dataclass
class _Trial:
    candidates: list[tuple[Stored, Envelope]]
    tried: int = 0
    accepted: set[Place] = field(default_factory=set)


class Trials:
    """The trials of refused contacts. Any other contact has no trial, and all its dead letters are applied."""

    def __init__(self) -> None:
        self._trials: dict[ContactKey, _Trial] = {}

    def without(self, key: ContactKey) -> frozenset[Place]:
        """Return the dead letters that the contact's next projection must not contain."""
        trial = self._trials.get(key)
        if trial is None:
            return frozenset()
        others = trial.candidates[: trial.tried] + trial.candidates[trial.tried + 1 :]
        return frozenset(event.place for event, _ in others if event.place not in trial.accepted)

    def passed(self, projection: Projection) -> bool:
        """Record that HubSpot accepted a projection; return whether there is another candidate to try."""
        trial = self._trials.get(projection.key)
        if trial is None:
            return False
        if trial.tried < len(trial.candidates):
            trial.accepted.add(trial.candidates[trial.tried][0].place)
            trial.tried += 1
        return trial.tried < len(trial.candidates)

    def failed(self, projection: Projection) -> tuple[tuple[Stored, Envelope] | None, bool]:
        """Record that HubSpot refused a projection; return the event that caused it, if any, and whether to retry."""
        trial = self._trials.get(projection.key)
        if trial is None:
            if not projection.dead:
                return None, False
            trial = self._trials[projection.key] = _Trial(projection.dead)
            if len(projection.dead) > 1:
                return None, True
        if trial.tried == len(trial.candidates):
            return None, False
        guilty = trial.candidates[trial.tried]
        trial.tried += 1
        return guilty, True
