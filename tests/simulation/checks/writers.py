"""Who writes contacts: the member of the group that has their partition, one at a time, and nobody in a pause."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from hubspot_consumer.gates.pause import SENDING
from runtime.kafka.topics import partition_of
from schemas.contacts import ContactKey, suppression_of
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation
    from tests.simulation.worker import Worker

_WRITES: Final = ("/contacts/batch/create", "/contacts/batch/upsert", "/contacts/batch/update")
# With these, a worker may not know what the topics of controls and suppressions have.
_BLIND: Final = ("kafka_", "cut_from_kafka", "slow_to_kafka", "suspended")
# With these, the group may remove a member.
_SILENT: Final = (*_BLIND, "stopped")
# The longest that a worker takes to follow a topic, the look for a new one included, and to end its calls.
FOLLOWS_WITHIN_S: Final = 8.0
# A longer call may outlive the lease of its worker, and the time that a stop has.
LONG_CALL_S: Final = 3.0
# A rebalance waits this long for calls.
DRAINED_WITHIN_S: Final = 20.0


@dataclass(eq=False)
class _Call:
    """A call that is under way, and when it counts as long."""

    process: Process
    long_at: float
    ended: bool = False


class Writers:
    """Looks at each call that writes contacts when it is sent."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        kinds = " ".join(fault.kind for fault in simulation.plan.faults)
        self._all_follow: Final = not any(name in kinds for name in _BLIND)
        self._members_answer: Final = not any(name in kinds for name in _SILENT)
        self._writing: Final[dict[str, _Call]] = {}
        simulation.hubspot.sent = self._sent

    def _sent(self, process: Process, path: str, body: bytes) -> Callable[[], None]:
        """Check a call that *process* sends; return what is to be called when HubSpot has answered it."""
        if not path.endswith(_WRITES):
            return _nothing
        keys = {
            key for one in json.loads(body)["inputs"] if "@" in (key := one["properties"].get("email") or one["id"])
        }
        worker = next((one for one in self._simulation.workers if one.process is process), None)
        if worker is not None and (foreign := self._foreign(worker, keys)):
            self._simulation.violate(f"{process} writes contacts of other workers: {foreign[:3]}")
        self._check_controls(process, keys)
        return self._alone(process, worker, keys)

    def _foreign(self, worker: "Worker", keys: Collection[str]) -> list[str]:
        """Return those of *keys* whose partitions the group has not assigned to *worker*."""
        simulation = self._simulation
        if worker.parts is None:
            return []
        member: str = worker.parts.source.worker._membership.id  # type: ignore[attr-defined]
        group, topics = simulation.cluster.group(simulation.settings.group), simulation.cluster.broker.topics
        partitions = topics[simulation.settings.topics.events[0]]
        numbers = {one.partition for one in group.assignments.get(member, ())}
        # A resync of the worker's own holds its contacts, as any run does, whoever has their partitions meanwhile.
        held = worker.parts.sink.resyncs._waiting
        return sorted(key for key in keys if partition_of(key, partitions) not in numbers and key not in held)

    def _check_controls(self, process: Process, keys: Collection[str]) -> None:
        if not self._all_follow:
            return
        simulation = self._simulation
        controls = simulation.cluster.broker.logs.get(TopicPartition(simulation.settings.topics.controls, 0))
        if controls is not None and controls.records:
            last = controls.records[-1]
            if last.key == SENDING and last.value is not None and self._known_for_s(last.timestamp) > FOLLOWS_WITHIN_S:
                simulation.violate(f"{process} writes contacts in a pause")
        for key in simulation.suppressed.keys() & keys:
            if simulation.loop.time() - simulation.suppressed[key] > FOLLOWS_WITHIN_S:
                simulation.violate(f"{process} writes a suppressed contact: {key}")

    def _alone(self, process: Process, worker: "Worker | None", keys: Collection[str]) -> Callable[[], None]:
        now = self._simulation.loop.time
        drained = self._members_answer
        call = _Call(process, now() + (DRAINED_WITHIN_S if drained else LONG_CALL_S))
        for key in keys:
            other = self._writing.get(key)
            if other is not None and other.process is not process and not other.process.dead and now() < other.long_at:
                self._simulation.violate(f"{other.process} and {process} write a contact at once: {key}")
            self._writing[key] = call

        def ended() -> None:
            is_short = not (call.ended or process.dead) and now() < call.long_at
            if is_short and worker is not None and (foreign := self._foreign(worker, keys)):
                self._simulation.violate(f"{process} has given back contacts before its call ended: {foreign[:3]}")
            call.ended = True
            for key in keys:
                if self._writing.get(key) is call:
                    del self._writing[key]

        return ended

    def _known_for_s(self, timestamp: int) -> float:
        cluster = self._simulation.cluster
        return cluster.epoch_s + cluster.loop.time() - timestamp / 1000


def suppression(key: str) -> bytes:
    """Return the key of the record that suppresses a contact."""
    return suppression_of(ContactKey(key)).encode()


def _nothing() -> None: ...
