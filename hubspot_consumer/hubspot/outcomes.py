"""The outcomes of a delivery. The set is closed: each `match` on it ends with `assert_never`.

A `correlation_id` is HubSpot's id of the call; HubSpot's support needs it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeGuard

HaltReason = Literal[
    "paused",
    "token_refused",
    "scope_missing",
    "endpoint_not_found",
    "payment_required",
    "daily_quota_spent",
    "hubspot_unavailable",
    "too_many_dead_letters",
    "portal_not_provisioned",
]
"""Why all deliveries are halted. /v1/status and a metric show these words, so they are a public contract."""

Rejection = Literal["rejected_by_hubspot", "timeline_entry_rejected", "mapping_failed", "sequence_reused"]
"""Why an event becomes a dead letter. Dead letters have it as their reason, so the words are a public contract."""


@dataclass(frozen=True)
class Delivered:
    """HubSpot stored the input. `contact_id` is HubSpot's id of the contact.

    `kept` names properties for which HubSpot's answer has another value than the request: it kept its own. `created`:
    the contact did not exist before.
    """

    contact_id: str
    kept: frozenset[str] = frozenset()
    created: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class RetryLater:
    """The input was not applied now, or it is unknown whether it was. `after` is the wait that HubSpot requested; None
    leaves it to our backoff.

    `outage` is True for no answer or a 5xx. Several of them in a row open the circuit breaker. `blocked` is True for a
    403 that is not about the token: a firewall refused the call, perhaps for the text of one of its inputs.
    `too_large` is True for an answer beyond the limits of `connection.py`: fewer inputs may have a smaller one.
    """

    detail: str
    after: timedelta | None = None
    outage: bool = False
    blocked: bool = False
    too_large: bool = False
    correlation_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Rejected:
    """A further attempt would end the same: HubSpot refuses the input, our mapping fails for it, or
    another event has its sequence.

    `unwritable` are the properties that this portal does not let any client write. `mistyped` are properties of ours
    whose value was refused for its form, as every value is once the property has another type. `conflict` is True if
    another contact has the claimed value; for a creation, if the contact exists.
    """

    reason: Rejection
    detail: str
    unwritable: frozenset[str] = frozenset()
    conflict: bool = False
    mistyped: frozenset[str] = frozenset()
    correlation_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Halt:
    """No delivery of any contact is possible until a person corrects the cause, or until the given time."""

    reason: HaltReason
    detail: str
    until: datetime | None = None
    correlation_id: str | None = field(default=None, compare=False)


UNSURE: Final = RetryLater("the group has not answered, and may have given the partitions away")

Outcome = Delivered | RetryLater | Rejected | Halt
Refusal = RetryLater | Rejected | Halt
"""The meaning of an answer other than 2xx for all inputs of the call. Each has a `detail`, the reason in words."""


def is_blocked(outcome: object) -> TypeGuard[RetryLater]:
    """Return whether something between us and HubSpot, such as a firewall, refused the call."""
    return isinstance(outcome, RetryLater) and outcome.blocked


def is_forbidden(refusal: object) -> TypeGuard[Halt]:
    """Return whether a refusal shows that the portal's tier or the token's scopes forbid the call."""
    return isinstance(refusal, Halt) and refusal.reason == "scope_missing"


def is_not_found(refusal: object) -> TypeGuard[Halt]:
    """Return whether a refusal shows that the call's path does not exist."""
    return isinstance(refusal, Halt) and refusal.reason == "endpoint_not_found"


def is_unavailable(refusal: object) -> TypeGuard[Halt]:
    """Return whether a refusal shows that the call's path does not exist, or that the tier or the scopes forbid it."""
    return is_forbidden(refusal) or is_not_found(refusal)
