"""How a delivery can end. The set is closed: whoever matches on it ends with `assert_never`.

A `correlation_id` is HubSpot's name of the call that was answered so: its support asks for it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

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
"""Why sending stops altogether. Shown in /v1/status and in a metric, so the words are a public contract."""

Rejection = Literal["rejected_by_hubspot", "timeline_entry_rejected", "mapping_failed"]
"""Why an event is set aside. Dead letters carry it as their reason, so the words are a public contract."""


@dataclass(frozen=True)
class Delivered:
    """HubSpot holds it. `contact_id` is HubSpot's id of the contact.

    `kept` are properties that it answers with another value than it was given: some it takes and keeps its own.
    """

    contact_id: str
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RetryLater:
    """Nobody knows, or not now. `after` is what HubSpot asked for; None leaves the wait to our backoff.

    `outage` says that HubSpot itself is unwell: no answer, or a 5xx. Several in a row open the circuit.
    """

    cause: str
    after: timedelta | None = None
    outage: bool = False
    correlation_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Rejected:
    """It would end the same again: HubSpot refuses it, or our mapping fails for it.

    `unwritable` are properties that the portal takes from nobody. `conflict` says that another contact has what this
    one claims: in a creation, that it exists.
    """

    reason: Rejection
    detail: str
    unwritable: frozenset[str] = frozenset()
    conflict: bool = False
    correlation_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Halt:
    """Nothing can be sent, whoever it is about, until somebody mends it or until the time given."""

    reason: HaltReason
    detail: str
    until: datetime | None = None
    correlation_id: str | None = field(default=None, compare=False)


UNSURE: Final = RetryLater("the group has not answered, and may have given the partitions away")

Outcome = Delivered | RetryLater | Rejected | Halt
Refusal = RetryLater | Rejected | Halt
"""What an answer other than 2xx means for everything that was in the call."""
