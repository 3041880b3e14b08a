"""A client of the test API of a HubSpot simulator that runs in its own process."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx

from hubspot_consumer.hubspot.requests import event_of_note
from sandbox.day.ledger import Accepted
from sandbox.hubspot.records.portal import PORTAL_ID, TOKEN

__all__ = ["PORTAL_ID", "TOKEN", "Simulator"]

PAGE: Final = 5_000


class Simulator:
    """A running simulator, accessed through its test API."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        # The server closes idle connections: a longer expiry could send a request into a connection being closed.
        limits = httpx.Limits(keepalive_expiry=1.0)
        self._http = httpx.AsyncClient(base_url=f"{url}/_simulator", timeout=60, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def answers(self) -> bool:
        try:
            return (await self._http.get("/settings")).is_success
        except httpx.TransportError:
            return False

    async def statistics(self) -> dict[str, Any]:
        return await self._get("/statistics")

    async def calls_in_window(self) -> int:
        """Return the number of calls in the current quota windows of all tokens."""
        return sum(window["used"] for window in (await self._get("/quota"))["windows"])

    async def entries(self) -> int:
        """Return the number of timeline entries: custom events and notes."""
        statistics = await self.statistics()
        held: int = statistics["occurrences"] + statistics["notes"]
        return held

    async def reset(self) -> None:
        """Reset the portal to its state at the start, without contacts."""
        (await self._http.post("/reset")).raise_for_status()

    async def add_fault(self, fault: Mapping[str, Any]) -> None:
        """Add a rule by which calls fail: see docs/hubspot-simulator.md."""
        (await self._http.post("/faults", json=dict(fault))).raise_for_status()

    async def faults(self) -> list[dict[str, Any]]:
        """Return the rules; `matched` and `fired` count the calls of each."""
        found: list[dict[str, Any]] = (await self._get("/faults"))["results"]
        return found

    async def remove_faults(self) -> None:
        (await self._http.delete("/faults")).raise_for_status()

    async def change_settings(self, **changes: Any) -> None:
        (await self._http.put("/settings", json=changes)).raise_for_status()

    async def change_token(
        self, action: Literal["add", "revoke"], token: str, scopes: Sequence[str] | None = None
    ) -> None:
        """Add a token, with every scope unless *scopes* are named, or revoke one."""
        change = {"action": action, "token": token} | ({} if scopes is None else {"scopes": list(scopes)})
        (await self._http.post("/tokens", json=change)).raise_for_status()

    async def settings(self) -> dict[str, Any]:
        return await self._get("/settings")

    async def change_property(self, name: str, /, **changes: Any) -> None:
        """Change a contact property's definition, as an administrator might."""
        (await self._http.put(f"/properties/{name}", json=changes)).raise_for_status()

    async def remove(self, path: str) -> None:
        """Remove `properties/…`, `event-definitions/…`, or `event-definitions/…/properties/…`."""
        (await self._http.delete(f"/{path}")).raise_for_status()

    async def timeline_of(self, email: str) -> list[dict[str, Any]]:
        """Return a contact's timeline entries, oldest accepted first."""
        found: list[dict[str, Any]] = (await self._get(f"/contacts/{email}/timeline"))["results"]
        return found

    async def accepted(self) -> Accepted:
        """Return all accepted timeline entries and contacts."""
        entries = [
            (_event_id(entry), datetime.fromisoformat(entry["acceptedAt"])) async for entry in self._all("/timeline")
        ]
        contacts = {contact["properties"].get("email", ""): contact async for contact in self._all("/contacts")}
        return Accepted(entries, contacts)

    async def _all(self, path: str) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            page = (await self._get(path, offset=offset, limit=PAGE))["results"]
            for item in page:
                yield item
            if len(page) < PAGE:
                return
            offset += PAGE

    async def _get(self, path: str, **parameters: int) -> dict[str, Any]:
        response = await self._http.get(path, params=parameters)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _event_id(entry: Mapping[str, Any]) -> str:
    """Return the id of the event of a timeline entry; empty for an entry that the consumer did not create."""
    return entry["uuid"] or event_of_note(entry.get("body") or "") or ""
