"""Traffic: a day of lifecycle events of invented drivers and merchants, the same for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

EVENTS_PER_DRIVER: Final = 11
SHARE_OF_MERCHANTS: Final = 0.15
SHARE_WITHOUT_EMAIL_AT_FIRST: Final = 0.2
# Emails as people type them. HubSpot and the outbox convert them to lower case.
NAMES: Final = ("ada", "Grace", "LENA", "o'neil", "sam+ev", "li.wei")

Payload = dict[str, Any]


@dataclass(frozen=True)
class Happening:
    """One event of the backend, and when it happened. A *poisoned* event bypasses the validation of `track_event`."""

    contact: str
    event_type: str
    payload: Payload
    occurred_at: datetime
    poisoned: bool = False


@dataclass
class _Life:
    """The events of one contact's day, in order."""

    email: str
    happenings: list[tuple[str, Payload]] = field(default_factory=list)


class Day:
    """A day of *events* events that ends at *until*: drivers who earn and redeem, merchants, one poisoned payload."""

    def __init__(self, events: int, seed: int, until: datetime) -> None:
        self._random: Final = Random(seed)  # noqa: S311 - must be repeatable, not secret
        self._events: Final = events
        self._until: Final = until

    def happenings(self) -> list[Happening]:
        """Return the day's events in the order of time, which keeps the order of each contact's events."""
        lives = list(self._lives())
        # The contact of each next event is drawn at random, so that the events of all contacts are mixed.
        turns = [life for life in lives for _ in life.happenings]
        self._random.shuffle(turns)
        steps = {id(life): iter(life.happenings) for life in lives}
        apart = timedelta(hours=20) / max(len(turns), 1)
        begin = self._until - apart * len(turns)
        day = []
        for number, life in enumerate(turns):
            event_type, payload = next(steps[id(life)])
            at = begin + apart * number
            day.append(_happening(life.email, event_type, payload, at))
        return self._poisoned(day)

    def _lives(self) -> Iterator[_Life]:
        left, number = self._events, 0
        while left > 0:
            number += 1
            merchant = self._random.random() < SHARE_OF_MERCHANTS
            life = self._merchant(number) if merchant else self._driver(number, left)
            life.happenings = life.happenings[:left]
            left -= len(life.happenings)
            yield life

    def _driver(self, number: int, at_most: int) -> _Life:
        user = f"usr_{number}"
        life = _Life(f"{self._random.choice(NAMES)}.{number}@example.com")
        provider = self._draw("phone", "google", "apple")
        signed_up = ("driver_signed_up", {"user_id": user, "email": life.email, "auth_provider": provider})
        rewards = self._rewards(user, self._random.randint(1, 2 * EVENTS_PER_DRIVER))
        # Some drivers earn before they give an email: their events are parked until then.
        late = self._random.randint(1, len(rewards)) if self._random.random() < SHARE_WITHOUT_EMAIL_AT_FIRST else 0
        late = min(late, at_most - 1)
        life.happenings = [*rewards[:late], signed_up, *rewards[late:]]
        return life

    def _rewards(self, user: str, number: int) -> list[tuple[str, Payload]]:
        balance, redeemed = 0, False
        rewards: list[tuple[str, Payload]] = []
        while len(rewards) < number:
            kind = self._random.random()
            if kind < 0.1:
                rewards.append(("wallet_pass_installed", {"user_id": user, "pass_type": self._draw("apple", "google")}))
            elif kind < 0.3 and balance:
                amount = self._random.randint(1, balance)
                balance -= amount
                redemption = self._redemption(user, amount)
                rewards.append(("nova_redeemed", {**redemption, "new_balance_cents": balance}))
                if not redeemed:
                    redeemed = True
                    rewards.append(("first_redemption_completed", redemption))
            else:
                amount = self._random.randint(50, 2_000)
                balance += amount
                session = {"session_id": f"ses_{self._random.randrange(10**9)}", "new_balance_cents": balance}
                rewards.append(("nova_earned", {"user_id": user, "amount_cents": amount, **session}))
        return rewards

    def _redemption(self, user: str, amount: int) -> Payload:
        return {
            "user_id": user,
            "amount_cents": amount,
            "merchant_id": f"mer_{self._random.randint(1, 40)}",
            "redemption_id": f"red_{self._random.randrange(10**9)}",
        }

    def _merchant(self, number: int) -> _Life:
        life = _Life(f"cafe.{number}@example.com")
        named = {"merchant_id": f"mer_{number}", "email": life.email}
        created = {**named, "name": f"Owner {number}", "business_name": f"Café {number}"}
        life.happenings = [("merchant_contact_created", created)]
        for _ in range(self._random.randint(0, 3)):
            change = self._draw("phone", "name", "business_name")
            value = f"+1 555 01{self._random.randint(0, 99):02}" if change == "phone" else f"{change} {number}"
            life.happenings.append(("merchant_contact_updated", {**named, change: value}))
        return life

    def _poisoned(self, day: list[Happening]) -> list[Happening]:
        # The event simulates a program that calls the SQL function directly, and omits a required field.
        victim = self._random.randrange(len(day))
        happening = day[victim]
        payload = {
            name: value for name, value in happening.payload.items() if name != TIME_FIELDS[happening.event_type]
        }
        day[victim] = replace(happening, payload=payload, poisoned=True)
        return day

    def _draw(self, *choices: str) -> str:
        return self._random.choice(choices)


TIME_FIELDS: Final = {
    "driver_signed_up": "created_at",
    "wallet_pass_installed": "installed_at",
    "nova_earned": "earned_at",
    "nova_redeemed": "redeemed_at",
    "first_redemption_completed": "completed_at",
    "merchant_contact_created": "created_at",
    "merchant_contact_updated": "updated_at",
}


def _happening(contact: str, event_type: str, payload: Payload, at: datetime) -> Happening:
    return Happening(contact, event_type, {**payload, TIME_FIELDS[event_type]: at.isoformat()}, at)
