"""What happens to Kafka, HubSpot and the database."""

import asyncio
from typing import TYPE_CHECKING, Final

from hubspot_consumer.hubspot.status_codes import LONGEST_RETRY_AFTER
from sandbox.hubspot.faults.faults import Fault as PortalFault
from sandbox.hubspot.faults.faults import Slow, When
from tests.recorded import RECORDED
from tests.simulation.faults import Fault
from tests.simulation.network import Server

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

# Answers that say what HubSpot did with inputs of other calls would be lies. The event of a rejected timeline entry is
# a dead letter that took effect, which the ledger does not know.
_TRUE_OF_ANY_CALL: Final = [
    [one for one in RECORDED if one.name.startswith(kind) and (kind != "rejected/" or one.call in ("create", "upsert"))]
    for kind in ("halt/", "retry_later/", "unclear/", "rejected/")
]


class Servers:
    """Kafka, HubSpot and the database fail, and lose what they answer."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._network: Final = simulation.network

    async def database_fails_over(self, fault: Fault) -> bool:
        return await self._simulation.source.fail_over(fault)

    async def database_is_restored(self, fault: Fault) -> bool:
        return await self._simulation.source.restore(fault)

    async def kafka_fails_over(self, fault: Fault) -> None:
        self._network.down.add("kafka")
        self._simulation.cluster.fail()
        await asyncio.sleep(min(fault.for_s, 15.0))
        self._network.down.discard("kafka")
        self._simulation.cluster.restart()

    async def kafka_loses_answers(self, fault: Fault) -> None:
        await self._lose("kafka", fault)

    async def kafka_resets_connections(self, fault: Fault) -> None:
        await self._reset("kafka", fault)

    async def hubspot_resets_connections(self, fault: Fault) -> None:
        await self._reset("hubspot", fault)

    async def hubspot_loses_answers(self, fault: Fault) -> None:
        await self._lose("hubspot", fault)

    async def hubspot_refuses_connections(self, fault: Fault) -> None:
        self._network.down.add("hubspot")
        await asyncio.sleep(fault.for_s)
        self._network.down.discard("hubspot")

    async def hubspot_answers_late(self, fault: Fault) -> None:
        late = PortalFault(
            answer=Slow(seconds=2 + fault.detail % 6),
            when=When(rate=0.3, for_s=fault.for_s),
            apply="after" if fault.detail % 2 else "before",
        )
        self._simulation.hubspot.portal.faults.add(late)
        await asyncio.sleep(fault.for_s)

    async def hubspot_gives_a_recorded_answer(self, fault: Fault) -> None:
        # Each kind of answer is as likely as any other, however many were recorded of it.
        of_kind = _TRUE_OF_ANY_CALL[fault.detail % len(_TRUE_OF_ANY_CALL)]
        recorded = of_kind[fault.detail // len(_TRUE_OF_ANY_CALL) % len(of_kind)]
        # A call that is refused for good, or by a halt, takes no effect.
        applied = bool(fault.target // 4 % 2) and recorded.name.startswith("retry_later/")
        calls = 1 + fault.target % 4
        instead = self._simulation.hubspot.answer_with(recorded, calls=calls, applied=applied)
        await asyncio.sleep(fault.for_s)
        if instead.calls < calls:
            # The contacts of these calls wait for as long as the answer asks.
            asked_s = float((recorded.headers or {}).get("Retry-After", 0))
            self._simulation.faults_last(min(asked_s, LONGEST_RETRY_AFTER.total_seconds()))
        instead.calls = 0

    async def _reset(self, server: Server, fault: Fault) -> None:
        self._network.resetting[server] = 0.2
        await asyncio.sleep(fault.for_s)
        self._network.resetting.pop(server, None)

    async def _lose(self, server: Server, fault: Fault) -> None:
        self._network.lossy[server] = 0.3
        await asyncio.sleep(fault.for_s)
        self._network.lossy.pop(server, None)
