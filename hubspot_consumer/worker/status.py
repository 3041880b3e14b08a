"""Status: what the consumer is doing, for a load balancer and for a person."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hubspot_consumer.dead_letters.writer import DeadLetters
from hubspot_consumer.delivery.dispatcher import Delivery
from hubspot_consumer.delivery.receipts_topic import ReceiptsTopic
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.circuit_breaker import HaltGate
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.gates.unwritable_properties import Omissions
from hubspot_consumer.holds.worker import Holds
from hubspot_consumer.hubspot.outcomes import HaltReason
from hubspot_consumer.hubspot.rate_limiter import Pacing
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.settings import Mode
from hubspot_consumer.worker.progress import Progress
from runtime.health import Health

# Nobody of ours is to blame, or it is meant: a worker that starts meanwhile waits, and is none that must be replaced.
_WAITS_AT_START: Final[Collection[HaltReason]] = ("paused", "hubspot_unavailable", "daily_quota_spent")


@dataclass
class Status:
    """The parts that know what is going on. A disabled consumer has none of them."""

    mode: Mode
    health: Health
    settings: Mapping[str, Any] = field(default_factory=dict)
    halt: HaltGate | None = None
    lanes: Lanes | None = None
    offsets: Offsets | None = None
    delivery: Delivery | None = None
    dead_letters: DeadLetters | None = None
    pacing: Pacing | None = None
    lag: Lag | None = None
    timeline: Timeline | None = None
    omissions: Omissions | None = None
    suppressions: Suppressions | None = None
    holds: Holds | None = None
    progress: Progress | None = None
    receipts: ReceiptsTopic | None = None

    def unwell(self) -> dict[str, str]:
        """Return what is unwell, by part."""
        halted = self.halt.halted if self.halt else None
        return self.health.unwell | ({"hubspot": f"halted: {halted.reason}: {halted.detail}"} if halted else {})

    def halted_parts(self) -> Collection[str]:
        """Return the parts that are unwell for as long as sending is halted, which no restart changes."""
        halted = self.halt.halted if self.halt else None
        if halted is None:
            return ()
        return ("hubspot", "portal") if halted.reason in _WAITS_AT_START else ("hubspot",)

    @property
    def lent(self) -> float:
        """The part of the quota that reprocessing has of this worker's."""
        return self.pacing.lent if self.pacing else 0.0

    def stuck(self) -> str | None:
        """Return why a restart may help, if it may."""
        return self.progress.stuck if self.progress else None

    def in_a_line(self) -> dict[str, Any]:
        """Return what says in a line how it is going; the lag is None as long as nobody has read it."""
        by_topic = self.lag.by_topic if self.lag else {}
        halted = self.halt.halted if self.halt else None
        return {
            "lag": sum(by_topic.values()) if by_topic else None,
            "unfinished": self.offsets.unfinished if self.offsets else 0,
            "waiting_for_earlier_event": self.lanes.holes if self.lanes else 0,
            "halted": halted.reason if halted else None,
            "unwell": sorted(self.unwell()),
        }

    def report(self) -> dict[str, Any]:
        """Return all of it, as JSON."""
        return {
            "mode": self.mode,
            "settings": self.settings,
            "timeline": self.timeline.mode if self.timeline else "off",
            "suppressed": len(self.suppressions) if self.suppressions else 0,
            "properties_left_out": sorted(self.omissions.names) if self.omissions else [],
            "properties_kept_by_hubspot": sorted(self.omissions.kept_names) if self.omissions else [],
            "unwell": self.unwell(),
            "halted": self._halted(),
            "reprocessing": self.holds.report() if self.holds else None,
            "quota": self._quota(),
            "lag": self.lag.by_topic if self.lag else {},
            "in_flight": {
                "events": self.offsets.unfinished if self.offsets else 0,
                "calls": self.delivery.calls_in_flight if self.delivery else 0,
            },
            "contacts": self._contacts(),
            "dead_letters": dict(self.dead_letters.by_reason) if self.dead_letters else {},
            "receipts": self._receipts(),
        }

    def _halted(self) -> dict[str, Any] | None:
        if self.halt is None or (halted := self.halt.halted) is None:
            return None
        # What halts besides a pause is found out again by the first call after it.
        behind = self.halt.behind
        return {
            "reason": halted.reason,
            "detail": halted.detail,
            "since": halted.since.isoformat(),
            "next_probe": halted.next_probe.isoformat() if halted.next_probe else None,
            "behind": {"reason": behind.reason, "detail": behind.detail} if behind else None,
        }

    def _receipts(self) -> dict[str, int] | None:
        if self.receipts is None:
            return None
        return {
            "written": self.receipts.written,
            "waiting": self.receipts.waiting,
            "dropped": self.receipts.dropped,
        }

    def _quota(self) -> dict[str, Any] | None:
        if self.pacing is None:
            return None
        return {
            "limit": self.pacing.quota,
            "window_s": self.pacing.window_s,
            "share": round(self.pacing.share, 4),
            "lent": self.pacing.lent,
            "used": self.pacing.used,
            "left": self.pacing.left,
            "daily_limit": self.pacing.daily.limit,
            "daily_remaining": self.pacing.daily.remaining,
            "daily_resets_at": self.pacing.daily.resets_at.isoformat(),
        }

    def _contacts(self) -> dict[str, int]:
        if self.lanes is None:
            return {}
        return {
            "ready": self.lanes.ready,
            "new": self.lanes.new,
            "waiting_for_look_up": self.lanes.unknown,
            "backing_off": self.lanes.backing_off,
            "waiting_for_earlier_event": self.lanes.holes,
            "held": self.lanes.held,
            "holes_released": self.lanes.holes_released,
        }
