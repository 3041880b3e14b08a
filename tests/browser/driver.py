"""A driver of one test's own, and what may happen to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.simulator import TOKEN
from tests.pipeline import Pipeline

AT = datetime.now(UTC).isoformat()
Event = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Driver:
    """A driver of one test's own, and what may happen to them."""

    name: str

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    @property
    def user(self) -> str:
        return f"usr_{self.name}"

    def signed_up(self) -> Event:
        email = f"{self.name.capitalize()}@example.com"
        return "driver_signed_up", {"user_id": self.user, "email": email, "auth_provider": "apple", "created_at": AT}

    def earned(self) -> Event:
        return "nova_earned", {**self.poisoned()[1], "new_balance_cents": 500, "earned_at": AT}

    def poisoned(self) -> Event:
        """It lacks the time at which it was earned."""
        return "nova_earned", {
            "user_id": self.user,
            "amount_cents": 500,
            "session_id": "s",
            "new_balance_cents": 1000,
        }


async def change_at_hubspot(pipeline: Pipeline, email: str, **properties: str) -> None:
    """Do as somebody does who edits the contact in HubSpot."""
    inputs = [{"id": email, "idProperty": "email", "properties": properties}]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        url = f"{pipeline.simulator.url}/crm/objects/2026-03/contacts/batch/upsert"
        (await http.post(url, json={"inputs": inputs})).raise_for_status()
