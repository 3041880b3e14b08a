"""Somebody else who writes to the portal, as sales people and their tools do: by HubSpot's own API, with a token."""

import httpx

from sandbox.simulator import Simulator

TOKEN = "pat-na1-99999999-2222-4333-8444-555555555555"


class Sales:
    """Changes contacts behind our back."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def change(self, email: str, **properties: str) -> None:
        await self._call("PATCH", email, {"properties": properties})

    async def archive(self, email: str) -> None:
        contact = await self._call("GET", email)
        await self._call("DELETE", contact.json()["id"], by="hs_object_id")

    async def _call(self, method: str, name: str, body: object = None, *, by: str = "email") -> httpx.Response:
        await self._simulator.change_token("add", TOKEN)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        parameters = {"idProperty": "email"} if by == "email" else {}
        async with httpx.AsyncClient(base_url=self._simulator.url, headers=headers) as http:
            response = await http.request(method, f"/crm/v3/objects/contacts/{name}", json=body, params=parameters)
        response.raise_for_status()
        return response
