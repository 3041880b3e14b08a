"""Injection: faults happen to the processes and servers of a simulation, and end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from hubspot_consumer.gates.pause import SENDING
from sandbox.hubspot.faults.faults import Fault as PortalFault
from sandbox.hubspot.faults.faults import Slow, When
from tests.recorded import RECORDED
from tests.simulation.checks.writers import suppression
from tests.simulation.faults import Fault
from tests.simulation.kafka.broker import NewRecord

if TYPE_CHECKING:
    from tests.simulation.loop import Process
    from tests.simulation.network import Server
    from tests.simulation.simulation import Simulation
    from tests.simulation.worker import Worker

# Answers that say what HubSpot did with inputs of other calls would be lies. The event of a rejected timeline entry is
# a dead letter that took effect, which the ledger does not know.
_TRUE_OF_ANY_CALL: Final = [
    [one for one in RECORDED if one.name.startswith(kind) and (kind != "rejected/" or one.call in ("create", "upsert"))]
    for kind in ("halt/", "retry_later/", "unclear/", "rejected/")
]


class Injection:
    """Lets the plan's faults happen at their times."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._loop: Final = simulation.loop
        self._network: Final = simulation.network

    async def run(self) -> None:
        """Let all faults happen; return when the last one has begun."""
        faults = self._simulation.plan.faults
        self._simulation.last_fault_ends_at = max((fault.at_s + fault.for_s for fault in faults), default=0.0)
        for fault in faults:
            await asyncio.sleep(max(0.0, fault.at_s - self._loop.time()))
            self._loop.start(self._loop.world, self._happen(fault))

    async def _happen(self, fault: Fault) -> None:
        ends = self._simulation.last_fault_ends_at
        if await getattr(self, f"_{fault.kind}")(fault) is not False:
            self._simulation.result.counts[fault.kind] += 1
        self._simulation.last_fault_ends_at = max(ends, self._loop.time())

    # Workers.

    async def _worker_killed(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        self._loop.kill(worker.process)
        await asyncio.sleep(min(fault.for_s, 8.0))
        self._simulation.start_worker()
        return True

    async def _worker_stopped(self, fault: Fault) -> bool:
        """A rolling deployment: the next version joins while the former one leaves."""
        if (worker := self._worker(fault)) is None:
            return False
        worker.stop()
        if fault.detail % 2:
            with suppress(Exception):
                await asyncio.wait([worker.run], timeout=30)
        self._simulation.start_worker()
        return True

    async def _worker_joins(self, _fault: Fault) -> bool:
        if len(self._simulation.running) >= 6:
            return False
        self._simulation.start_worker()
        return True

    async def _worker_suspended(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        await self._suspend(worker.process, fault)
        return True

    async def _worker_cut_from_kafka(self, fault: Fault) -> bool:
        return await self._worker_cut(fault, "kafka")

    async def _worker_cut_from_hubspot(self, fault: Fault) -> bool:
        return await self._worker_cut(fault, "hubspot")

    async def _worker_slow_to_kafka(self, fault: Fault) -> bool:
        return await self._worker_slow(fault, "kafka")

    async def _worker_slow_to_hubspot(self, fault: Fault) -> bool:
        return await self._worker_slow(fault, "hubspot")

    async def _worker_clock_jumps(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        worker.process.clock_ahead_s += fault.detail % 7_200 - 3_600
        return True

    # Relays and the database.

    async def _relay_killed(self, fault: Fault) -> bool:
        return await self._simulation.source.kill_relay(fault)

    async def _relay_host_lost(self, fault: Fault) -> bool:
        """The host of a relay is gone, and nobody tells the database."""
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        self._simulation.source.lost.add(process)
        self._network.cut.update({(process, "kafka"), (process, "database")})
        return await self._simulation.source.kill_relay(fault, process)

    async def _relay_suspended(self, fault: Fault) -> bool:
        return await self._relay(fault, self._suspend)

    async def _relay_cut_from_kafka(self, fault: Fault) -> bool:
        return await self._relay(fault, lambda process, fault: self._cut(process, "kafka", fault))

    async def _relay_cut_from_database(self, fault: Fault) -> bool:
        return await self._relay(fault, lambda process, fault: self._cut(process, "database", fault))

    async def _relay_clock_jumps(self, fault: Fault) -> bool:
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        process.clock_ahead_s += fault.detail % 7_200 - 3_600
        return True

    async def _database_fails_over(self, fault: Fault) -> bool:
        return await self._simulation.source.fail_over(fault)

    async def _database_is_restored(self, fault: Fault) -> bool:
        return await self._simulation.source.restore(fault)

    # Servers.

    async def _kafka_fails_over(self, fault: Fault) -> None:
        self._network.down.add("kafka")
        self._simulation.cluster.fail()
        await asyncio.sleep(min(fault.for_s, 15.0))
        self._network.down.discard("kafka")
        self._simulation.cluster.restart()

    async def _kafka_loses_answers(self, fault: Fault) -> None:
        await self._lose("kafka", fault)

    async def _kafka_resets_connections(self, fault: Fault) -> None:
        await self._reset("kafka", fault)

    async def _hubspot_resets_connections(self, fault: Fault) -> None:
        await self._reset("hubspot", fault)

    async def _hubspot_loses_answers(self, fault: Fault) -> None:
        await self._lose("hubspot", fault)

    async def _hubspot_refuses_connections(self, fault: Fault) -> None:
        self._network.down.add("hubspot")
        await asyncio.sleep(fault.for_s)
        self._network.down.discard("hubspot")

    async def _hubspot_answers_late(self, fault: Fault) -> None:
        late = PortalFault(
            answer=Slow(seconds=2 + fault.detail % 6),
            when=When(rate=0.3, for_s=fault.for_s),
            apply="after" if fault.detail % 2 else "before",
        )
        self._simulation.hubspot.portal.faults.add(late)
        await asyncio.sleep(fault.for_s)

    async def _hubspot_gives_a_recorded_answer(self, fault: Fault) -> None:
        # Each kind of answer is as likely as any other, however many were recorded of it.
        of_kind = _TRUE_OF_ANY_CALL[fault.detail % len(_TRUE_OF_ANY_CALL)]
        recorded = of_kind[fault.detail // len(_TRUE_OF_ANY_CALL) % len(of_kind)]
        # A call that is refused for good, or by a halt, takes no effect.
        applied = bool(fault.target // 4 % 2) and recorded.name.startswith("retry_later/")
        instead = self._simulation.hubspot.answer_with(recorded, calls=1 + fault.target % 4, applied=applied)
        await asyncio.sleep(fault.for_s)
        instead.calls = 0

    # What is no fault, and happens.

    async def _retention_deletes(self, _fault: Fault) -> None:
        """Retention is by time, and so long that every worker has read what it deletes."""
        broker, settings = self._simulation.cluster.broker, self._simulation.settings
        acked = self._simulation.cluster.group(settings.group).offsets
        events = broker.events(settings.topics)
        unread = [one.timestamp for at, log in events.items() for one in log if one.offset >= acked.get(at, 0)]
        newest = [log[-1].timestamp for log in events.values() if log]
        until = min(unread, default=max(newest, default=0))
        for partition, log in events.items():
            kept = next((one.offset for one in log if one.timestamp >= until), acked.get(partition, 0))
            needed = self._simulation.source.needed_since.get(partition, kept)
            broker.delete_before(partition, min(kept, needed, acked.get(partition, 0)))

    async def _partitions_are_slow(self, fault: Fault) -> None:
        """Let the partitions of one of three brokers be read later than the others."""
        simulation = self._simulation
        topics, broker = list(simulation.settings.topics.events), simulation.cluster.broker
        slow = {
            one
            for one in broker.logs
            if one.topic in topics and (topics.index(one.topic) + one.partition + fault.target) % 3 == 0
        }
        broker.slow.update(slow)
        await asyncio.sleep(fault.for_s)
        broker.slow.difference_update(slow)

    async def _transaction_ends(self, fault: Fault) -> None:
        partitions = list(self._simulation.cluster.broker.logs)
        for number in range(1 + fault.detail % 20):
            self._simulation.cluster.broker.mark(partitions[(fault.target + 7 * number) % len(partitions)])

    async def _contact_is_suppressed(self, fault: Fault) -> bool:
        keys = sorted({event.contact_key for event in self._simulation.source.committed()})
        if not keys:
            return False
        key = keys[fault.target % len(keys)]
        self._simulation.suppressed[key] = self._loop.time()
        suppressions, broker = (
            TopicPartition(self._simulation.settings.topics.suppressions, 0),
            self._simulation.cluster.broker,
        )
        broker.create(suppressions.topic, 1)
        at_ms = int(self._simulation.source.database.now().timestamp() * 1000)
        broker.append(suppressions, [NewRecord(at_ms, suppression(key), b"{}", ())])
        return True

    async def _contacts_are_resynced(self, fault: Fault) -> bool:
        keys = sorted({event.contact_key for event in self._simulation.source.committed()})
        if not keys:
            return False
        chosen = [keys[(fault.target + 7 * number) % len(keys)] for number in range(1 + fault.detail % 5)]
        await self._simulation.runs.resync(sorted(set(chosen)), killed_after_s=_killed_after_s(fault))
        return True

    async def _events_are_replayed(self, fault: Fault) -> None:
        await self._simulation.runs.replay(killed_after_s=_killed_after_s(fault))

    async def _sending_is_paused(self, fault: Fault) -> None:
        controls = TopicPartition(self._simulation.settings.topics.controls, 0)
        broker = self._simulation.cluster.broker
        broker.create(controls.topic, 1)
        at = self._simulation.source.database.now()
        paused = b'{"paused": true, "at": "%s", "by": "", "note": ""}' % at.isoformat().encode()
        broker.append(controls, [NewRecord(int(at.timestamp() * 1000), SENDING, paused, ())])
        await asyncio.sleep(min(fault.for_s, 10.0))
        broker.append(controls, [NewRecord(int(at.timestamp() * 1000), SENDING, None, ())])

    def _worker(self, fault: Fault) -> "Worker | None":
        running = self._simulation.running
        return running[fault.target % len(running)] if running else None

    async def _relay(self, fault: Fault, do: Callable[["Process", Fault], Awaitable[None]]) -> bool:
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        await do(process, fault)
        return True

    async def _worker_cut(self, fault: Fault, server: "Server") -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        await self._cut(worker.process, server, fault)
        return True

    async def _worker_slow(self, fault: Fault, server: "Server") -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        self._network.slow[worker.process, server] = 3.0
        await asyncio.sleep(fault.for_s)
        self._network.slow.pop((worker.process, server), None)
        return True

    async def _cut(self, process: "Process", server: "Server", fault: Fault) -> None:
        self._network.cut.add((process, server))
        await asyncio.sleep(fault.for_s)
        self._network.cut.discard((process, server))

    async def _suspend(self, process: "Process", fault: Fault) -> None:
        process.paused = True
        await asyncio.sleep(fault.for_s)
        self._loop.resume(process)

    async def _reset(self, server: "Server", fault: Fault) -> None:
        self._network.resetting[server] = 0.2
        await asyncio.sleep(fault.for_s)
        self._network.resetting.pop(server, None)

    async def _lose(self, server: "Server", fault: Fault) -> None:
        self._network.lossy[server] = 0.3
        await asyncio.sleep(fault.for_s)
        self._network.lossy.pop(server, None)


def _killed_after_s(fault: Fault) -> float | None:
    """Return after how many seconds a run is killed, None for two of three runs."""
    return fault.for_s / 2 if fault.detail % 3 == 0 else None
