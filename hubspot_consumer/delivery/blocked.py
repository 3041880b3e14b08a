"""Blocked inputs: something between us and HubSpot, such as a firewall, refuses a call for the text of one input."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeGuard

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import Rejected, RetryLater, is_blocked
from hubspot_consumer.hubspot.results import Input, WriteAnswer

MOST_TRIES: Final = 6
# More inputs than can be at fault at once; the counts of contacts that went to another worker are not kept for ever.
MOST_NAMES: Final = 10_000


class Blocked:
    """Tells an input that is at fault from an outage: while the breaker is closed, calls of others succeed."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker: Final = breaker
        self._tries: Counter[str] = Counter()

    def is_worth_halving(self, outcome: object, inputs: int) -> bool:
        """Return whether a smaller call may show which of so many *inputs* was refused, and let the others pass."""
        return inputs > 1 and (isinstance(outcome, Rejected) or self._is_of_one(outcome))

    def unclear_if_halving_helps(self, answer: WriteAnswer[Input], inputs: Sequence[Input]) -> WriteAnswer[Input]:
        """Return *answer*, or one that leaves all *inputs* unclear if a smaller call may show which was refused."""
        helps = len(inputs) > 1 and any(map(self._is_of_one, answer.outcomes.values()))
        return WriteAnswer(unclear=list(inputs)) if helps else answer

    def is_final(self, outcome: object, name: str) -> TypeGuard[RetryLater]:
        """Count a call for the input *name* alone; return whether it was blocked so often that it will not pass."""
        if not self._is_of_one(outcome):
            return False
        if len(self._tries) >= MOST_NAMES:
            self._tries.clear()
        self._tries[name] += 1
        if self._tries[name] < MOST_TRIES:
            return False
        del self._tries[name]
        return True

    def _is_of_one(self, outcome: object) -> bool:
        return is_blocked(outcome) and self._breaker.halted is None
