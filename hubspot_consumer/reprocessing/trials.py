"""Trials: where HubSpot refuses a contact whose dead letters are to take effect again, each of them is tried alone."""

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
    """Of the contacts that were refused; one that was not has no trial, and all its dead letters count."""

    def __init__(self) -> None:
        self._trials: dict[ContactKey, _Trial] = {}

    def without(self, key: ContactKey) -> frozenset[Place]:
        """Return the dead letters that a contact's next fold leaves out."""
        trial = self._trials.get(key)
        if trial is None:
            return frozenset()
        others = trial.candidates[: trial.tried] + trial.candidates[trial.tried + 1 :]
        return frozenset(event.place for event, _ in others if event.place not in trial.accepted)

    def passed(self, projection: Projection) -> bool:
        """Take that HubSpot took a fold; return whether there is another candidate to try."""
        trial = self._trials.get(projection.key)
        if trial is None:
            return False
        if trial.tried < len(trial.candidates):
            trial.accepted.add(trial.candidates[trial.tried][0].place)
            trial.tried += 1
        return trial.tried < len(trial.candidates)

    def failed(self, projection: Projection) -> tuple[tuple[Stored, Envelope] | None, bool]:
        """Take that HubSpot refused a fold; return the event to blame, if one is, and whether to try without it."""
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
