"""The status of the consumer, and its HTTP endpoints: health for load balancers, status for people, and metrics."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import HaltReason
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.settings import Mode
from hubspot_consumer.worker.wiring import Parts
from runtime.health import Health
from runtime.http.server import application

# These halts are intended, or have no cause in the worker's settings: a worker that starts during one waits for its
# end, and need not be replaced.
_WAITS_AT_START: Final[Collection[HaltReason]] = ("paused", "hubspot_unavailable", "daily_quota_spent")
# The report of a disabled consumer, which has no parts.
_DISABLED: Final[Mapping[str, Any]] = {
    "timeline": "off",
    "timeline_left_out": 0,
    "suppressed": 0,
    "properties_left_out": [],
    "properties_kept_by_hubspot": [],
    "unwell": {},
    "halted": None,
    "reprocessing": None,
    "quota": None,
    "lag": {},
    "in_flight": {"events": 0, "calls": 0},
    "contacts": {},
    "dead_letters": {},
    "receipts": None,
}


@dataclass(frozen=True)
class Status:
    """Collects the status from the parts. A disabled consumer has no parts: *parts* is None."""

    mode: Mode
    health: Health
    settings: Mapping[str, Any]
    parts: Parts | None

    def unwell(self) -> dict[str, str]:
        """Return the reasons why parts are unwell, by part."""
        halted = self.parts.core.breaker.halted if self.parts else None
        return self.health.unwell | ({"hubspot": f"halted: {halted.reason}: {halted.detail}"} if halted else {})

    def halted_parts(self) -> Collection[str]:
        """Return the parts that are unwell only because sending is halted, which a restart would not change."""
        halted = self.parts.core.breaker.halted if self.parts else None
        if halted is None:
            return ()
        return ("hubspot", "portal") if halted.reason in _WAITS_AT_START else ("hubspot",)

    @property
    def lent(self) -> float:
        """The part of this worker's quota that is lent to reprocessing."""
        return self.parts.live.rate_limiter.lent if self.parts and self.parts.live else 0.0

    def stuck(self) -> str | None:
        """Return the reason why a restart may help, or None."""
        return self.parts.progress.stuck if self.parts else None

    def in_a_line(self) -> dict[str, Any]:
        """Return the summary for a log line. The lag is None until it is first read."""
        if self.parts is None:
            return {"unwell": sorted(self.unwell())}
        by_topic, halted = self.parts.core.lag.by_topic, self.parts.core.breaker.halted
        return {
            "lag": sum(by_topic.values()) if by_topic else None,
            "unfinished": self.parts.core.offsets.unfinished,
            "waiting_for_earlier_event": self.parts.core.lanes.holes,
            "halted": halted.reason if halted else None,
            "unwell": sorted(self.unwell()),
        }

    def report(self) -> dict[str, Any]:
        """Return the whole status, as JSON values."""
        parts = _of(self.parts) if self.parts else _DISABLED
        return {"mode": self.mode, "settings": self.settings, **parts, "unwell": self.unwell()}


def endpoints(status: Status, telemetry: Telemetry) -> FastAPI:
    """Return the application; its responses contain no email and no secret."""
    telemetry.shows(status.report)
    return application(
        "HubSpot consumer",
        unwell=status.unwell,
        also=lambda: {"mode": status.mode} | ({"quota_lent": status.lent} if status.lent else {}),
        metrics=telemetry.registry,
        status=status.report,
        halted=status.halted_parts,
        stuck=status.stuck,
    )


def _of(parts: Parts) -> dict[str, Any]:
    core, sink, live, receipts = parts.core, parts.sink, parts.live, parts.core.receipts_topic
    return {
        "timeline": sink.timeline.mode,
        "timeline_left_out": sink.timeline.left_out,
        "suppressed": len(core.suppressions),
        "properties_left_out": sorted(core.unwritable.names),
        "properties_kept_by_hubspot": sorted(core.unwritable.kept_names),
        "unwell": {},
        "halted": _halted(core.breaker),
        "reprocessing": live.holds.report() if live else None,
        "quota": _quota(live.rate_limiter) if live else None,
        "lag": core.lag.by_topic,
        "in_flight": {"events": core.offsets.unfinished, "calls": sink.delivery.calls_in_flight},
        "contacts": {
            "ready": core.lanes.ready,
            "new": core.lanes.new,
            "waiting_for_look_up": core.lanes.unknown,
            "backing_off": core.lanes.backing_off,
            "waiting_for_earlier_event": core.lanes.holes,
            "held": core.lanes.held,
            "holes_released": core.lanes.holes_released,
        },
        "dead_letters": dict(sink.dead_letters.by_reason),
        "receipts": {"written": receipts.written, "waiting": receipts.waiting, "dropped": receipts.dropped}
        if receipts
        else None,
    }


def _halted(breaker: CircuitBreaker) -> dict[str, Any] | None:
    if (halted := breaker.halted) is None:
        return None
    # During a pause, the halt behind it is the last one known; the next probe checks it.
    behind = breaker.behind
    return {
        "reason": halted.reason,
        "detail": halted.detail,
        "since": halted.since.isoformat(),
        "next_probe": halted.next_probe.isoformat() if halted.next_probe else None,
        "behind": {"reason": behind.reason, "detail": behind.detail} if behind else None,
    }


def _quota(limiter: RateLimiter) -> dict[str, Any]:
    return {
        "limit": limiter.quota,
        "window_s": limiter.window_s,
        "share": round(limiter.share, 4),
        "lent": limiter.lent,
        "used": limiter.used,
        "left": limiter.left,
        "daily_limit": limiter.daily.limit,
        "daily_remaining": limiter.daily.remaining,
        "daily_resets_at": limiter.daily.resets_at.isoformat(),
    }
