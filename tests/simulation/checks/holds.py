"""What runs hold: the workers answer for all of it, and soon, also when the group assigns the partitions anew."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from hubspot_consumer.holds.records import HoldAnswered, HoldBegun, Released, RunEnded, read_hold_record
from runtime.kafka.topics import partition_of

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

# With these, a contact may be in a call for as long as HubSpot has time to answer, and a worker answers after that; or
# the topic has a record of a hold twice, or late.
_LATE: Final = ("hubspot", "sending_is_paused", "kafka", "suspended")
# The longest that workers of a stable group take to end their calls, and to answer. A run whose hold has too little
# time left, 20 s after it began, gives that up and takes another.
ANSWERED_WITHIN_S: Final = 10.0


@dataclass
class _Hold:
    """A hold, when it began, and the partitions for which no worker has answered."""

    begun_at: float
    ends_at: float
    unanswered: set[int]


class Holds:
    """Looks at the topic of holds."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        kinds = " ".join(fault.kind for fault in simulation.plan.faults)
        self._in_time: Final = not any(name in kinds for name in _LATE)
        self._read = 0
        self._holds: Final[dict[tuple[str, int], _Hold]] = {}
        self._generation = 0
        self._quiet_since = 0.0

    def look(self) -> None:
        """Check that no hold waits for an answer that nothing keeps back; called now and then."""
        simulation, now = self._simulation, self._simulation.loop.time()
        self._read_on()
        group = simulation.cluster.group(simulation.settings.group)
        if simulation.faults_under_way or group.state != "Stable" or group.generation != self._generation:
            self._quiet_since, self._generation = now, group.generation
        if not self._in_time:
            return
        for (run, number), hold in self._holds.items():
            waits_s = now - max(hold.begun_at, self._quiet_since)
            if hold.unanswered and now < hold.ends_at and waits_s > ANSWERED_WITHIN_S:
                simulation.violate(f"hold {number} of {run} waits for {waits_s:.0f} s: {sorted(hold.unanswered)}")

    def _read_on(self) -> None:
        log = self._simulation.cluster.broker.logs.get(TopicPartition(self._simulation.settings.topics.holds, 0))
        for record in log.records[self._read :] if log else ():
            self._read += 1
            match entry := read_hold_record(record.value):
                case HoldBegun():
                    at_s = record.timestamp / 1000 - self._simulation.cluster.epoch_s
                    hold = _Hold(at_s, at_s + entry.for_s, set(self._partitions(entry.contacts)))
                    self._holds.setdefault((entry.run, entry.number), hold)
                case HoldAnswered():
                    if (answered := self._holds.get((entry.run, entry.number))) is not None:
                        answered.unanswered.difference_update(entry.partitions)
                case Released():
                    self._holds.pop((entry.run, entry.number), None)
                case RunEnded():
                    for key in [key for key in self._holds if key[0] == entry.run]:
                        del self._holds[key]

    def _partitions(self, contacts: Iterable[str]) -> Iterable[int]:
        """Return the partitions of these contacts; a hold of none is one that all have to answer."""
        number = self._simulation.cluster.broker.topics[next(iter(self._simulation.settings.topics.events))]
        return {partition_of(key, number) for key in contacts} or range(number)
