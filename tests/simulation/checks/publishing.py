"""What is published: each contact's events in order, once, by one relay, and soon."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from schemas.envelope import Headers
from schemas.outbox import RELAY_LOCK
from tests.simulation.kafka.broker import StoredRecord
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

# With these, a relay may not know what it has published.
_UNSURE: Final = ("relay_", "database_", "kafka_fails_over", "kafka_loses_answers")
# With these, a row may wait: there is nobody who could publish it.
_NOBODY: Final = ("database_", "kafka_", "relay_cut_from_kafka")
# A standby ends a silent relay's connection after 3 s, and begins anew after a fault within 5 s.
LONGEST_WAIT_S: Final = 14.0


class Publishing:
    """Looks at each batch of events that Kafka stores, and at the first row of the outbox."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        kinds = [fault.kind for fault in simulation.plan.faults]
        named = " ".join(kinds)
        self._once: Final = not any(name in named for name in _UNSURE)
        self._locks_last: Final = "database_" not in named
        relays = sum(kind.startswith("relay_") for kind in kinds)
        self._soon: Final = relays <= 1 and not any(name in named for name in _NOBODY)
        self._last: Final[Counter[bytes]] = Counter()
        self._first: tuple[int, float] = (0, 0.0)
        simulation.cluster.broker.appended = self._appended
        simulation.cluster.produces = self._produces

    def look(self) -> None:
        """Check that the first row of the outbox does not wait; called now and then."""
        positions, now = self._simulation.source.database.tables.positions, self._simulation.loop.time()
        first = positions[0] if positions else 0
        if first != self._first[0]:
            self._first = first, now
        elif first and self._soon and now - self._first[1] > LONGEST_WAIT_S:
            self._simulation.violate(f"the row {first} waits for {now - self._first[1]:.0f} s")

    def _appended(self, records: Sequence[StoredRecord]) -> None:
        if records[0].topic not in self._simulation.settings.topics.events:
            return
        for record in records:
            key, sequence = record.key or b"", Headers.decode(record.headers).sequence or 0
            last = self._last[key]
            if sequence > last + 1:
                self._simulation.violate(f"published out of order: {sequence} of {key!r} after {last}")
            if sequence <= last and self._once:
                self._simulation.violate(f"published twice: {sequence} of {key!r}")
            self._last[key] = max(last, sequence)

    def _produces(self, process: Process) -> None:
        """A producer sends a request: a relay does so while no other relay has the lock."""
        if not (self._locks_last and process.name.startswith("relay-")):
            return
        sessions = self._simulation.source.database.sessions.values()
        if others := [one.process for one in sessions if one.locks[RELAY_LOCK] and one.process is not process]:
            self._simulation.violate(f"{process} publishes while {others[0]} has the lock")
