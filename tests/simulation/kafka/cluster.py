"""The cluster of a simulation: the broker, its groups, and how clients reach both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from random import Random
from typing import Any, Final

from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from tests.simulation.kafka.broker import Broker
from tests.simulation.kafka.groups import FIRST_REBALANCE_AFTER_S, Group
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Network, NoAnswer, NotReached, Reset

# A broker that takes groups over reads them first.
LONGEST_LOADING_S: Final = 2.0


class Cluster:
    """Kafka as clients see it. `epoch_s` is the time of day when the simulation begins."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        chance: Random,
        epoch_s: float,
        *,
        first_rebalance_after_s: float = FIRST_REBALANCE_AFTER_S,
    ) -> None:
        self.loop: Final = loop
        self.chance: Final = chance
        self.broker: Final = Broker(loop, chance)
        self.groups: Final[dict[str, Group]] = {}
        self.producer_ids: Final = count(1)
        self.epoch_s: Final = epoch_s
        self.broker.now_ms = lambda: int(1000 * (epoch_s + loop.time()))
        self._network: Final = network
        # Called with each process that sends a produce request.
        self.produces: Callable[[Process], None] = lambda _: None
        self._first_rebalance_after_s: Final = first_rebalance_after_s

    def group(self, name: str) -> Group:
        if name not in self.groups:
            self.groups[name] = Group(self.loop, name, self._first_rebalance_after_s)
        return self.groups[name]

    def fail(self) -> None:
        """Let no broker do anything until `restart`."""
        for group in self.groups.values():
            group.fail()

    def restart(self) -> None:
        """Let another broker go on with everything."""
        for group in self.groups.values():
            group.restart(self.chance.random() * LONGEST_LOADING_S)

    async def ask(self, act: Callable[[], Any], *, within_s: float) -> Any:
        """Return the cluster's answer. Raises KafkaConnectionError, RequestTimedOutError, and what *act* raises."""
        try:
            return await self._network.ask("kafka", act, within_s=within_s)
        except (NotReached, Reset):
            raise KafkaConnectionError("no broker answers") from None
        except NoAnswer:
            raise RequestTimedOutError("no answer in time") from None


CLUSTER: ContextVar[Cluster] = ContextVar("cluster")


@contextmanager
def reachable(cluster: Cluster) -> Iterator[None]:
    """Let clients that are made in this context, and in processes begun in it, use *cluster*."""
    token = CLUSTER.set(cluster)
    try:
        yield
    finally:
        CLUSTER.reset(token)
