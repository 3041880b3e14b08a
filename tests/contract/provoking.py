"""Steps that bring the simulator to answer as HubSpot did."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import httpx

from sandbox.hubspot.records.contacts import MERGED_IDS
from sandbox.hubspot.records.portal import Portal
from tests.recorded import Recorded
from tests.samples import PORTAL_ID, TOKEN

CONTACTS: Final = "/crm/objects/2026-03/contacts"
PROPERTIES: Final = "/crm/properties/2026-03/contacts"
DEFINITIONS: Final = "/events/2026-03/event-definitions"
ADA, GRACE, MARY = "ada@example.com", "grace@example.com", "mary@example.com"
EARNED: Final = {"name": "amount", "label": "Amount", "type": "number"}


@dataclass
class Scene:
    """A new portal, a client with its token, and the answer that is to be provoked."""

    portal: Portal
    hubspot: httpx.AsyncClient
    recorded: Recorded
    contact_ids: list[str] = field(default_factory=list)
    note_id: str = ""

    async def post(self, path: str, body: Any) -> Any:
        answer = await self.hubspot.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def ask(self) -> httpx.Response:
        method, url = self.recorded.method_and_url
        request = self.recorded.request
        return (
            await self.hubspot.request(method, url, json=request)
            if request is not None
            else await self.hubspot.request(method, url)
        )


Step = Callable[[Scene], Awaitable[None]]
Way = Callable[[Scene], Awaitable[httpx.Response]]


def asked(*steps: Step) -> Way:
    """Take the steps, then ask what was asked."""

    async def way(scene: Scene) -> httpx.Response:
        for step in steps:
            await step(scene)
        return await scene.ask()

    return way


def failing(answer: Mapping[str, Any], *steps: Step, apply: str = "before") -> Way:
    """Take the steps, then ask while a rule of the simulator's lets the call go wrong."""

    async def rule(scene: Scene) -> None:
        await scene.post("/_simulator/faults", {"answer": dict(answer), "apply": apply})

    return asked(*steps, rule)


def status(code: int, style: str = "json", **headers: str) -> Way:
    """Let the call be answered with an error of a form that the simulator has."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failing({"kind": "status", "status": code, "style": style, "headers": named})


def known(name: str) -> Way:
    """Let the call be answered with one of the simulator's known answers."""
    return failing({"kind": "known", "name": name})


async def told(scene: Scene) -> httpx.Response:
    """Hand in the whole answer: for what the simulator has no form of its own."""
    body = json.dumps(scene.recorded.body)
    await scene.post(
        "/_simulator/faults", {"answer": {"kind": "status", "status": scene.recorded.status, "body": body}}
    )
    # Where it was asked does not exist in the simulator either.
    elsewhere = replace(scene.recorded, path=f"POST {CONTACTS}/batch/upsert", request={})
    return await replace(scene, recorded=elsewhere).ask()


def contact(email: str, **properties: str) -> Step:
    async def step(scene: Scene) -> None:
        made = await scene.post(CONTACTS, {"properties": {"email": email, **properties}})
        scene.contact_ids.append(made["id"])

    return step


def named(*ids: str) -> Step:
    """Ask with the ids of the contacts that were created, in their order, in the place of those recorded."""

    async def step(scene: Scene) -> None:
        recorded = scene.recorded
        request, path = json.dumps(recorded.request), recorded.path
        for old, new in zip(ids, scene.contact_ids, strict=True):
            request, path = request.replace(f'"{old}"', f'"{new}"'), path.replace(f"/{old}", f"/{new}")
        scene.recorded = replace(recorded, request=json.loads(request), path=path)

    return step


def inputs(number: int) -> Step:
    """Ask with so many inputs like the first one."""

    async def step(scene: Scene) -> None:
        first = scene.recorded.inputs[0]
        many = [first | {"id": f"{place}{first['id']}", "objectWriteTraceId": str(place)} for place in range(number)]
        scene.recorded = replace(scene.recorded, request=scene.recorded.request | {"inputs": many})

    return step


def contact_property(name: str, kind: str = "string", field_type: str = "text", *options: str) -> Step:
    async def step(scene: Scene) -> None:
        definition = {"groupName": "contactinformation", "name": name, "label": name}
        shown = [
            {"label": option, "value": option, "displayOrder": order, "hidden": False}
            for order, option in enumerate(options)
        ]
        await scene.post(PROPERTIES, definition | {"type": kind, "fieldType": field_type, "options": shown})

    return step


def event_definition(name: str = "nova_earned", label: str = "Nova earned") -> Step:
    async def step(scene: Scene) -> None:
        definition = {"name": name, "label": label, "includeDefaultProperties": False}
        await scene.post(DEFINITIONS, definition | {"propertyDefinitions": [EARNED]})

    return step


def settings(**changes: Any) -> Step:
    async def step(scene: Scene) -> None:
        scene.portal.change_settings(**changes)

    return step


def scopes(*granted: str) -> Step:
    async def step(scene: Scene) -> None:
        scene.portal.tokens.add(TOKEN, granted)

    return step


def authorization(value: str) -> Step:
    async def step(scene: Scene) -> None:
        scene.hubspot.headers["Authorization"] = value

    return step


async def merged(scene: Scene) -> None:
    """Merge the first two contacts."""
    primary, other = scene.contact_ids[:2]
    await scene.post(f"{CONTACTS}/merge", {"primaryObjectId": primary, "objectIdToMerge": other})


async def deleted_by_law(scene: Scene) -> None:
    """Delete Ada for good, so that HubSpot may refuse her email."""
    scene.portal.change_settings(deleted_email="refuse")
    ada = scene.portal.contacts.by_email(ADA)
    assert ada is not None
    scene.portal.contacts.delete(ada)


def merged_from(number: int) -> Step:
    """Have a contact that was merged so often."""

    async def step(scene: Scene) -> None:
        ids = ";".join(map(str, range(1, number + 1)))
        scene.contact_ids.append(scene.portal.contacts.create({"email": ADA, MERGED_IDS: ids}).id)

    return step


async def token_revoked(scene: Scene) -> None:
    scene.portal.tokens.revoke(TOKEN)
    await scene.post("/_simulator/clock/advance", {"seconds": 7})


async def quota_spent(scene: Scene) -> None:
    scene.portal.change_settings(quota=1)
    await scene.hubspot.get("/account-info/2026-03/details")


async def searched(scene: Scene) -> None:
    scene.portal.change_settings(searches_per_s=1)
    await scene.post(f"{CONTACTS}/search", {})


async def sent_before(scene: Scene) -> None:
    event = {"eventName": f"pe{PORTAL_ID}_nova_earned", "email": ADA, "uuid": "u1", "properties": {}}
    await scene.post("/events/2026-03/send", event)


async def noted_before(scene: Scene) -> None:
    kinds = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]
    properties = {"hs_timestamp": "0", "hs_note_body": f"<b>nova earned</b><br>nerava event {UUID(int=1)}"}
    note = {"properties": properties, "associations": [{"to": {"id": scene.contact_ids[0]}, "types": kinds}]}
    scene.note_id = (await scene.post("/crm/objects/2026-03/notes", note))["id"]


def noted_as(recorded_id: str) -> Step:
    """Ask with the id of the note that was left, in the place of the one recorded."""

    async def step(scene: Scene) -> None:
        request = json.dumps(scene.recorded.request).replace(f'"{recorded_id}"', f'"{scene.note_id}"')
        scene.recorded = replace(scene.recorded, request=json.loads(request))

    return step
