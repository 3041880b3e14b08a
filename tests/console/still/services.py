"""What the producer and two workers of that console answer, by the seconds that its clock has gone."""

import json
from collections.abc import Mapping
from math import sin
from typing import Any

import httpx

from hubspot_consumer.settings import Settings as ConsumerSettings
from runtime.program import program_version
from tests.console.still.clock import NOW, StillClock

PRODUCER = "http://producer.example.com:8080"
WORKERS = ("http://worker-1.example.com:8081", "http://worker-2.example.com:8081")
# Events a second, and their share of each bound of the time from commit to HubSpot.
RATE = 24.0
AGES = {"0.5": 0.2, "1": 0.62, "2.5": 0.93, "5": 0.985, "10": 1.0, "+Inf": 1.0}
LAGS = {"nova_earned": 31, "nova_redeemed": 7, "driver_signed_up": 2}


def rate(seconds: float) -> float:
    """Return the events a second at that time: it goes up and down."""
    return RATE + 6 * sin(seconds / 240) + 2 * sin(seconds / 37)


class Services:
    """They answer requests. `halted` and `parts` may be changed, as a status shows them."""

    def __init__(self, clock: StillClock, consumer: ConsumerSettings) -> None:
        self._clock = clock
        self._settings = consumer.in_force()
        self.halted: dict[str, Any] | None = None
        self._events, self._until = 0.0, 0.0

    @property
    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def lag(self) -> Mapping[str, int]:
        """Return what waits in Kafka, by topic."""
        wave = 1 + 0.5 * sin(self._clock.monotonic() / 90)
        return {f"lifecycle.{name}": round(lag * wave) for name, lag in LAGS.items()}

    def events(self) -> float:
        """Return how many events there were so far."""
        while self._until < self._clock.monotonic():
            self._until += 1
            self._events += rate(self._until)
        return self._events

    def _answer(self, request: httpx.Request) -> httpx.Response:
        url, is_status = f"{request.url.scheme}://{request.url.netloc.decode()}", request.url.path == "/v1/status"
        if url == PRODUCER:
            status = {"version": program_version(), "unwell": {}, "settings": {"RELAY_BATCH": 500, "LOG_LEVEL": "info"}}
            return httpx.Response(200, text=json.dumps(status) if is_status else self._producers_metrics())
        number = WORKERS.index(url)
        return httpx.Response(200, text=json.dumps(self._status(number)) if is_status else self._metrics(number))

    def _status(self, number: int) -> dict[str, Any]:
        return {
            "version": program_version(),
            "mode": "live",
            "unwell": {},
            "halted": self.halted,
            "settings": {**self._settings, "LOG_LEVEL": "debug" if number else "info"},
            "quota": {
                "limit": 100,
                "window_s": 10,
                "share": 0.5,
                "lent": 0,
                "used": 14 - 4 * number,
                "left": 36,
                "daily_limit": 250_000,
                "daily_remaining": 201_344,
                "daily_resets_at": NOW.replace(hour=23).isoformat(),
            },
            "lag": self.lag(),
            "in_flight": {"events": 12 - 3 * number, "calls": 1},
            "contacts": {
                "ready": 2,
                "new": 0,
                "waiting_for_look_up": 0,
                "backing_off": number,
                "waiting_for_earlier_event": 0,
                "held": 0,
            },
            "dead_letters": {"rejected_by_hubspot": 14, "invalid_envelope": 6},
        }

    def _metrics(self, number: int) -> str:
        events = self.events() * (0.55, 0.45)[number]
        lines = [
            f'hubspot_consumer_events_read_total{{topic="lifecycle.nova_earned"}} {events}',
            f'hubspot_consumer_events_delivered_total{{type="nova_earned"}} {events}',
            f'hubspot_consumer_calls_total{{kind="upsert",status="200"}} {events / 9}',
            'hubspot_consumer_dead_letters_total{reason="invalid_envelope"} 6',
            *(
                f'hubspot_consumer_event_age_seconds_bucket{{le="{bound}"}} {events * share}'
                for bound, share in AGES.items()
            ),
        ]
        return "\n".join([*lines, ""])

    def _producers_metrics(self) -> str:
        return "\n".join(
            [
                f'producer_events_published_total{{type="nova_earned"}} {self.events()}',
                "producer_relay_active 1",
                "",
            ]
        )
