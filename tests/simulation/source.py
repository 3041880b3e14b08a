"""The source of events: at present events that are published at once, in order."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiokafka import TopicPartition

from runtime.kafka.topics import partition_of
from sandbox.day.ledger import Committed
from schemas.envelope import Headers
from tests import samples
from tests.simulation.kafka.broker import NewRecord
from tests.simulation.patching import START

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Source:
    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._committed: list[Committed] = []
        self.patches: list[Any] = []
        self.ended = asyncio.Event()

    def start(self) -> None:
        self._simulation.loop.start(self._simulation.loop.world, self._feed())

    def now(self) -> datetime:
        return START + timedelta(seconds=self._simulation.loop.time())

    async def _feed(self) -> None:
        simulation, chance = self._simulation, self._simulation.chance
        totals: dict[str, list[int]] = {}
        for n in range(simulation.plan.events):
            email = f"c{chance.randrange(30)}@example.com"
            t = totals.setdefault(email, [0, 0, 0])
            t[0] += 1
            kind = chance.choice(("nova_earned", "nova_redeemed", "wallet_pass_installed", "driver_signed_up"))
            if kind == "nova_earned":
                t[1] += 500
            if kind == "nova_redeemed":
                t[2] += 100
            made = samples.envelope(kind, t[0], email, id=str(uuid4()))
            made["totals"] = {"nova_earned_cents": t[1], "nova_redeemed_cents": t[2]}
            made["payload"] = dict(made["payload"])
            if "email" in made["payload"]:
                made["payload"]["email"] = email
            self._committed.append(Committed(made["id"], email, t[0], kind, made["totals"], self.now()))
            partition = TopicPartition(simulation.settings.topics.of(kind), partition_of(email, 12))
            headers = Headers(made["id"], kind, t[0], None).encode()
            simulation.cluster.broker.append(
                partition, [NewRecord(int(1000 * self.now().timestamp()), email.encode(), samples.value(made), headers)]
            )
            await asyncio.sleep(chance.expovariate(20))
        self.ended.set()

    def committed(self) -> list[Committed]:
        return self._committed

    @property
    def published(self) -> bool:
        return True

    async def kill_relay(self, _fault: object) -> bool:
        return False

    def relay(self, _target: int) -> None:
        return None

    async def fail_over(self, _fault: object) -> bool:
        return False

    async def resync(self, _fault: object) -> bool:
        return False
