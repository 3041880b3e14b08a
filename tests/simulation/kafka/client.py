"""What the models of aiokafka's clients have in common."""

from typing import Any, Final

from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from tests.simulation.kafka.cluster import CLUSTER
from tests.simulation.loop import CURRENT

# aiokafka's own, in seconds.
REQUEST_WITHIN_S: Final = 40.0
RETRY_AFTER_S: Final = 0.1


class Client:
    """A client, whose `start` connects."""

    def __init__(self, **options: Any) -> None:
        self._cluster: Final = CLUSTER.get()
        self._within_s: Final = options.get("request_timeout_ms", 1000 * REQUEST_WITHIN_S) / 1000

    async def start(self) -> None:
        try:
            await self._ask(lambda: None)
        except RequestTimedOutError:
            raise KafkaConnectionError("no broker answers") from None

    async def stop(self) -> None: ...

    async def _ask(self, act: Any) -> Any:
        return await self._cluster.ask(act, within_s=self._within_s)

    def _now_ms(self) -> int:
        cluster, process = self._cluster, CURRENT.get()
        return int(1000 * (cluster.epoch_s + cluster.loop.time() + process.clock_ahead_s))
