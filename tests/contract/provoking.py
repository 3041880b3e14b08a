"""How the simulator is brought to answer as HubSpot did: one way for each recorded answer."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from sandbox.hubspot.auth import CONTACTS_READ, CONTACTS_WRITE
from sandbox.hubspot.portal import Portal
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
        shown = [{"label": option, "value": option} for option in options]
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


async def token_revoked(scene: Scene) -> None:
    scene.portal.tokens.revoke(TOKEN)
    await scene.post("/_simulator/clock/advance", {"seconds": 7})


async def quota_spent(scene: Scene) -> None:
    scene.portal.change_settings(quota=1)
    await scene.hubspot.get("/account-info/2026-03/details")


async def sent_before(scene: Scene) -> None:
    event = {"eventName": f"pe{PORTAL_ID}_nova_earned", "email": ADA, "uuid": "u1", "properties": {}}
    await scene.post("/events/2026-03/send", event)


async def noted_before(scene: Scene) -> None:
    kinds = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]
    note = {"properties": {"hs_timestamp": "0"}, "associations": [{"to": {"id": scene.contact_ids[0]}, "types": kinds}]}
    await scene.post("/crm/objects/2026-03/notes", note)


_REJECTING = settings(duplicate_uuid="reject")
_ADA, _GRACE = contact(ADA), contact(GRACE)
_SEQUENCE = contact_property("nerava_event_sequence", "number", "number")

WAYS: Final[Mapping[str, Way]] = {
    "answered/account": asked(),
    "answered/contact-archived": asked(_ADA, named("151")),
    "answered/contact-created": asked(),
    "answered/contact-read": asked(contact(ADA, phone="1")),
    "answered/contact-updated": asked(_ADA),
    "answered/contacts-without-notes": asked(_ADA, named("151")),
    "answered/daily-usage": asked(),
    "answered/event-defined": asked(),
    "answered/event-defined-before": asked(event_definition()),
    "answered/event-definitions": asked(event_definition(), event_definition("nova_redeemed", "Nova redeemed")),
    "answered/event-taken-before": asked(event_definition(), sent_before, _REJECTING),
    "answered/events-allowed": asked(),
    "answered/events-not-allowed": asked(settings(custom_events=False)),
    "answered/events-taken": asked(event_definition()),
    "answered/group-created": asked(),
    "answered/note-created": asked(_ADA, named("151")),
    "answered/notes-created": asked(_ADA, named("151")),
    "answered/notes-of-contacts": asked(_ADA, noted_before, named("151")),
    "answered/notes-of-which-one-is-invalid": asked(_ADA, named("151")),
    "answered/properties-of-which-one-exists": asked(contact_property("age__c")),
    "answered/property-created": asked(),
    "answered/property-exists": asked(contact_property("hive_count")),
    "answered/property-groups": asked(),
    "answered/read-found": asked(
        _SEQUENCE, contact(ADA, hs_additional_emails="ada2@example.com", nerava_event_sequence="12"), _GRACE
    ),
    "answered/read-nothing-done": failing({"kind": "silent"}, _ADA),
    "answered/read-some-unknown": asked(_SEQUENCE, contact(ADA, nerava_event_sequence="3")),
    "answered/token-info": asked(scopes(CONTACTS_READ, CONTACTS_WRITE)),
    "delivered/create-created": asked(),
    "delivered/upsert-created": asked(),
    "delivered/upsert-found-by-additional-email": asked(contact("countess@example.com", hs_additional_emails=ADA)),
    "delivered/upsert-in-any-order": asked(),
    "delivered/upsert-updated": asked(_ADA),
    "delivered/upsert-without-trace-ids": asked(),
    "halt/daily-429": asked(settings(daily_limit=0)),
    "halt/method-not-allowed-405": asked(),
    "halt/missing-scopes-403": asked(scopes(CONTACTS_READ)),
    "halt/missing-scopes-403-in-the-context": told,
    "halt/no-credentials-401": asked(authorization("")),
    "halt/no-tier-for-custom-events-403": asked(event_definition(), settings(custom_events=False)),
    "halt/not-found-404": asked(),
    "halt/object-not-found-404": asked(),
    "halt/path-not-found-404-as-a-page": status(404, "html"),
    "halt/payment-required-402": status(402),
    "halt/property-not-found-404": asked(),
    "halt/read-path-not-found-404": asked(),
    "halt/token-expired-401": asked(token_revoked),
    "halt/token-unknown-401": asked(authorization("Bearer pat-na1-00000000-0000-4000-8000-000000000000")),
    "partial/create-conflict": asked(_ADA),
    "partial/update-merged-record-left-out": failing({"kind": "fewer_results"}, _ADA, _GRACE, named("90003", "90004")),
    "partial/update-not-found": asked(_ADA, named("90001")),
    "partial/upsert-one-error-for-several": asked(),
    "partial/upsert-one-invalid": asked(),
    "rejected/boolean-property-without-its-options": asked(),
    "rejected/contact-exists": asked(_ADA),
    "rejected/create-conflict": asked(_ADA),
    "rejected/create-without-identity": asked(),
    "rejected/date-that-is-not-midnight": asked(contact_property("renewal", "date", "date")),
    "rejected/event-definition-unknown": asked(),
    "rejected/event-is-not-defined": asked(),
    "rejected/event-property-is-not-defined": asked(event_definition()),
    "rejected/event-without-a-name": asked(),
    "rejected/events-of-which-one-came-before": asked(event_definition(), sent_before, _REJECTING),
    "rejected/invalid-email": asked(),
    "rejected/invalid-email-of-one-input": asked(),
    "rejected/invalid-number": asked(contact_property("seats", "number", "number")),
    "rejected/invalid-option": asked(contact_property("tag", "enumeration", "select", "Procurement", "Hide")),
    "rejected/invalid-option-in-the-older-form": told,
    "rejected/merged-too-often": told,
    "rejected/missing-conditional-required-property": told,
    "rejected/missing-required-property": told,
    "rejected/note-of-an-unknown-contact": asked(),
    "rejected/note-without-a-timestamp": asked(_ADA, named("151")),
    "rejected/nothing-to-update": asked(_ADA),
    "rejected/property-does-not-exist": asked(),
    "rejected/read-only-property": asked(),
    "rejected/read-with-too-many-histories": asked(inputs(51)),
    "rejected/update-by-email": asked(_ADA),
    "rejected/upsert-by-a-property-that-is-not-unique": asked(),
    "rejected/wrong-json-type": asked(),
    "retry_later/bad-gateway-502": status(502, "html"),
    "retry_later/burst-429": asked(quota_spent),
    "retry_later/burst-429-with-retry-after": asked(quota_spent, settings(retry_after_on_429=True, window_s=7)),
    "retry_later/gateway-timeout-504": status(504, "text"),
    "retry_later/internal-error-500": status(500),
    "retry_later/internal-server-error-500-as-text": status(500, "text"),
    "retry_later/locked-423": status(423),
    "retry_later/migrating-477": status(477, Retry_After="86400"),
    "retry_later/nothing-done-200": failing({"kind": "silent"}),
    "retry_later/nothing-done-207": failing({"kind": "silent", "status": 207}),
    "retry_later/origin-connection-time-out-522": status(522, "html"),
    "retry_later/origin-down-521": status(521, "html"),
    "retry_later/origin-ssl-certificate-error-526": status(526, "html"),
    "retry_later/origin-ssl-handshake-error-525": status(525, "html"),
    "retry_later/origin-time-out-524": status(524, "html"),
    "retry_later/origin-unreachable-523": status(523, "html"),
    "retry_later/pending-201": failing({"kind": "pending"}),
    "retry_later/request-timeout-408": status(408, "text"),
    "retry_later/search-429": failing({"kind": "rate_limit", "policy": "search"}),
    "retry_later/secondly-429": failing({"kind": "rate_limit", "policy": "secondly"}),
    "retry_later/service-unavailable-503": told,
    "retry_later/token-endpoint-429": told,
    "unclear/create-conflict-without-trace-ids": asked(),
    "unclear/duplicate-ids": asked(_ADA, named("12877907025")),
    "unclear/one-invalid-refuses-all": asked(),
    "unclear/too-many-inputs": asked(inputs(101)),
    "unclear/update-not-found-names-nobody": asked(_ADA, named("171591000199")),
    "unclear/upsert-duplicate-emails": asked(),
}
