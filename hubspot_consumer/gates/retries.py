"""Retries: repeats a call to HubSpot, or a step of several calls, until it is not refused."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from runtime.clock import LONGEST_S, Clock, backoff_s

Answer = TypeVar("Answer")


class Retries:
    """Waits before each attempt until the breaker allows a call, and backs off after each refused attempt."""

    def __init__(
        self, breaker: CircuitBreaker, clock: Clock, jitter: random.Random, *, longest_s: float = LONGEST_S
    ) -> None:
        self._breaker = breaker
        self._clock = clock
        self._jitter = jitter
        self._longest_s: Final = longest_s

    async def until_answered(self, ask: Callable[[], Awaitable[Answer | Refusal]]) -> Answer:
        """Return HubSpot's answer to *ask*, which makes one call; the breaker records every answer."""

        async def heard() -> Answer | Refusal:
            answer = await ask()
            if isinstance(answer, RetryLater | Halt):
                self._breaker.record(answer)
            elif not isinstance(answer, Rejected):
                self._breaker.record(None)
            return answer

        return await self.until_done(heard)

    async def until_done(self, attempt: Callable[[], Awaitable[Answer | Refusal]]) -> Answer:
        """Return the first result of *attempt* that is no refusal; *attempt* records its answers in the breaker."""
        attempts = 0
        while True:
            await self._breaker.until_allowed()
            done = await attempt()
            if not isinstance(done, RetryLater | Halt | Rejected):
                return done
            attempts += 1
            await self._clock.sleep(wait_s(done, attempts, self._jitter, longest_s=self._longest_s))


def wait_s(refusal: Refusal, attempts: int, jitter: random.Random, *, longest_s: float = LONGEST_S) -> float:
    """Return the seconds to wait after a refused attempt: the wait that HubSpot requested plus the backoff."""
    asked_s = refusal.after.total_seconds() if isinstance(refusal, RetryLater) and refusal.after else 0.0
    return asked_s + backoff_s(max(1, attempts), jitter, longest_s=longest_s)
