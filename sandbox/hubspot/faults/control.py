"""The test API under `/_simulator`, with which tests, the demo and people inspect and change the portal."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, HTTPException, Query
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sandbox.hubspot.clock import iso
from sandbox.hubspot.faults.faults import Fault, Rule
from sandbox.hubspot.http.auth import ALL_SCOPES, masked
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Entry, Occurrence
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.default_properties import GROUP
from sandbox.hubspot.settings import Settings, Span

PREFIX: Final = "/_simulator"

Offset = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=0, le=10_000)]

_TEXT: Final = {"groupName": GROUP, "type": "string", "fieldType": "text"}


class Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seconds: Span


class TokenChange(BaseModel):
    """Add a token to the valid ones, or revoke one."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["add", "revoke"]
    token: str
    scopes: tuple[str, ...] = ALL_SCOPES


class Seed(BaseModel):
    """Contacts to add: the properties of each, including read-only ones."""

    model_config = ConfigDict(extra="forbid")
    contacts: list[dict[str, str]]


def control(portal: Portal) -> APIRouter:
    router = APIRouter(prefix=PREFIX)
    _add_state(router, portal)
    _add_settings(router, portal)
    _add_seed(router, portal)
    _add_faults(router, portal)
    _add_schema(router, portal)
    _add_records(router, portal)
    return router


def _add_state(router: APIRouter, portal: Portal) -> None:
    @router.post("/reset", status_code=204)
    async def reset() -> None:
        portal.reset()

    @router.get("/quota")
    async def quota() -> dict[str, Any]:
        """Return the used quota: of each token's window, and of the day."""
        used = {
            token: number
            for token, number in portal.quota.used_now(portal.settings).items()
            if portal.tokens.grant(token)
        }
        return {
            "now": portal.clock.timestamp(),
            "windows": [{"token": masked(token), "used": number} for token, number in used.items()],
            "quota": portal.settings.quota,
            "used_today": portal.quota.used_today(portal.settings),
            "daily_limit": portal.settings.daily_limit,
            "resets_at": iso(portal.quota.resets_at(portal.settings)),
        }

    @router.post("/clock/advance")
    async def advance(by: Advance) -> dict[str, str]:
        portal.clock.advance(timedelta(seconds=by.seconds))
        return {"now": portal.clock.timestamp()}

    @router.post("/tokens", status_code=204)
    async def change_token(change: TokenChange) -> None:
        try:
            if change.action == "add":
                portal.tokens.add(change.token, change.scopes)
            else:
                portal.tokens.revoke(change.token)
        except (ValueError, KeyError) as error:
            raise HTTPException(422, str(error.args[0])) from None


def _add_settings(router: APIRouter, portal: Portal) -> None:
    @router.get("/settings")
    async def settings() -> dict[str, Any]:
        return {"portal_id": portal.portal_id, **asdict(portal.settings)}

    @router.put("/settings")
    async def change_settings(changes: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Change the given settings."""
        try:
            portal.change_settings(**changes)
        except ValidationError as error:
            raise HTTPException(422, error.errors(include_url=False, include_context=False)) from None
        return await settings()

    @router.get("/settings/schema")
    async def settings_schema() -> dict[str, Any]:
        """Return the JSON Schema of the settings."""
        return TypeAdapter(Settings).json_schema()


def _add_seed(router: APIRouter, portal: Portal) -> None:
    @router.post("/contacts", status_code=201)
    async def add_contacts(seed: Seed) -> dict[str, Any]:
        """Add contacts without a call to HubSpot's API: without quota, and without checks of their values."""
        return {"results": [portal.contacts.create(properties).id for properties in seed.contacts]}


def _add_faults(router: APIRouter, portal: Portal) -> None:
    @router.post("/faults", status_code=201)
    async def add_fault(fault: Fault) -> dict[str, Any]:
        return _shown_rule(portal.faults.add(fault))

    @router.get("/faults")
    async def faults() -> dict[str, Any]:
        return {"results": [_shown_rule(rule) for rule in portal.faults.rules.values()]}

    @router.delete("/faults", status_code=204)
    async def remove_faults() -> None:
        portal.faults.rules.clear()

    @router.delete("/faults/{rule_id}", status_code=204)
    async def remove_fault(rule_id: int) -> None:
        portal.faults.rules.pop(rule_id, None)


def _add_schema(router: APIRouter, portal: Portal) -> None:
    @router.put("/properties/{name}")
    async def put_property(name: str, changes: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Change or add a property's definition, HubSpot's own included, as an administrator might."""
        changes = {**changes, "name": name}
        try:
            if name in portal.schema.properties:
                changed = portal.schema.change(name, changes)
                if changes.get("archived"):
                    portal.schema.archive(name)
                return changed
            return portal.schema.add(_TEXT | {"label": name} | changes)
        except (KeyError, TypeError) as unknown:
            raise HTTPException(422, f"no such type, or no value of an option: {unknown}") from None

    @router.delete("/properties/{name}", status_code=204)
    async def remove_property(name: str) -> None:
        portal.schema.properties.pop(name, None)

    @router.delete("/event-definitions/{name}", status_code=204)
    async def remove_event_definition(name: str) -> None:
        portal.event_definitions.by_name.pop(name, None)

    @router.delete("/event-definitions/{name}/properties/{property_name}", status_code=204)
    async def remove_event_property(name: str, property_name: str) -> None:
        if (definition := portal.event_definitions.find(name)) is not None:
            definition.properties.pop(property_name, None)


def _add_records(router: APIRouter, portal: Portal) -> None:
    @router.get("/requests")
    async def requests(offset: Offset = 0, limit: Limit = 1_000, *, newest_first: bool = False) -> dict[str, Any]:
        """Return the logged calls, oldest first or newest first; `total` also counts those no longer kept."""
        kept = list(portal.log.requests)
        if newest_first:
            kept.reverse()
        page = kept[offset : offset + limit]
        return {"total": portal.log.total, "results": [request._asdict() for request in page]}

    @router.get("/statistics")
    async def statistics() -> dict[str, Any]:
        return {
            "calls": portal.log.by_path(),
            "rate_limited_by_quota": portal.log.rate_limited_by_quota,
            "most_calls_in_a_window": portal.quota.most_calls_in_a_window,
            "used_today": portal.quota.used_today(portal.settings),
            "contacts": len(portal.contacts),
            "notes": len(portal.notes),
            "occurrences": portal.timeline.occurrences,
            "duplicate_occurrences": portal.timeline.duplicates,
            "recreated_after_gdpr_delete": portal.contacts.recreated,
        }

    @router.get("/contacts")
    async def contacts(
        offset: Offset = 0, limit: Limit = 100, query: str = "", *, newest_first: bool = False, writes: bool = True
    ) -> dict[str, Any]:
        """Return contacts in the order of their creation, or newest first; `query` searches ids and values."""
        found = portal.contacts.all()
        if query:
            found = [contact for contact in found if _mentions(contact, query.lower())]
        if newest_first:
            found.reverse()
        page = found[offset : offset + limit]
        return {"total": len(found), "results": [_shown_contact(contact, writes=writes) for contact in page]}

    @router.get("/contacts/{email}/timeline")
    async def contact_timeline(email: str) -> dict[str, Any]:
        """Return a contact's events and notes (`kind`) in the order of acceptance. `email` may also be an id."""
        address = emails.normalised(email)
        contact = portal.contacts.by_email(address) or portal.contacts.by_id(address)
        entries = portal.timeline.of(contact, address)
        return {"results": [_shown_entry(portal, entry, contact.id if contact else None) for entry in entries]}

    @router.get("/timeline")
    async def timeline(offset: Offset = 0, limit: Limit = 1_000) -> dict[str, Any]:
        """Return all events and notes in the order of acceptance; `duplicates` counts the dropped occurrences."""
        entries = portal.timeline.entries()
        return {
            "total": len(entries),
            "duplicates": portal.timeline.duplicates,
            "results": [_shown_entry(portal, entry) for entry in entries[offset : offset + limit]],
        }


def _shown_rule(rule: Rule) -> dict[str, Any]:
    return {"id": rule.id, "matched": rule.matched, "fired": rule.fired, **rule.fault.model_dump(mode="json")}


def _shown_entry(portal: Portal, entry: Entry, contact_id: str | None = None) -> dict[str, Any]:
    if isinstance(entry, Occurrence):
        return entry.shown()
    contact_id = contact_id or next(iter(entry.contact_ids), None)
    contact = portal.contacts.by_id(contact_id) if contact_id else None
    return entry.shown(contact_id, contact.email if contact else None)


def _shown_contact(contact: Contact, *, writes: bool) -> dict[str, Any]:
    shown = {"id": contact.id, "archived": contact.archived, "properties": contact.properties}
    return shown | {"writes": [write._asdict() for write in contact.writes]} if writes else shown


def _mentions(contact: Contact, words: str) -> bool:
    return words == contact.id or any(words in value.lower() for value in contact.properties.values())
