"""Further tries: a broker that has just gone is asked in vain once, and a new coordinator first loads its groups."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import KafkaError

from runtime.clock import Clock

# A question whose answer did not come for so long is not asked again: there may be an outage to tell of.
ASKED_FOR_S: Final = 5.0
TRY_AGAIN_S: Final = (0.5, 1.0, 2.0)
NO_ANSWER: Final = (KafkaError, OSError, TimeoutError)

Answer = TypeVar("Answer")


async def asked_again(ask: Callable[[], Awaitable[Answer]], clock: Clock) -> Answer:
    """Return Kafka's answer to *ask*, which is asked again for some seconds if there is none. Raises the last fault."""
    begun = clock.monotonic()
    for pause_s in TRY_AGAIN_S:
        try:
            return await ask()
        except NO_ANSWER:
            if clock.monotonic() - begun >= ASKED_FOR_S:
                raise
            await clock.sleep(pause_s)
    return await ask()
