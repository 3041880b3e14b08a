"""The test API under `/_simulator`: what tests, the demo and a curious person ask of the portal. Not HubSpot's."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.hubspot import emails
from sandbox.hubspot.auth import ALL_SCOPES
from sandbox.hubspot.contacts import Contact
from sandbox.hubspot.faults import Fault, Rule
from sandbox.hubspot.portal import Portal

PREFIX: Final = "/_simulator"

Offset = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=0, le=10_000)]


class Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seconds: Annotated[float, Field(ge=0)]


class TokenChange(BaseModel):
    """Add a token, beside those that are valid, or revoke one."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["add", "revoke"]
    token: str
    scopes: tuple[str, ...] = ALL_SCOPES


def control(portal: Portal) -> APIRouter:
    router = APIRouter(prefix=PREFIX)
    _add_state(router, portal)
    _add_faults(router, portal)
    _add_schema(router, portal)
    _add_records(router, portal)
    return router


def _add_state(router: APIRouter, portal: Portal) -> None:
    @router.post("/reset", status_code=204)
    async def reset() -> None:
        portal.reset()

    @router.get("/settings")
    async def settings() -> dict[str, Any]:
        return {"portal_id": portal.portal_id, **asdict(portal.settings)}

    @router.put("/settings")
    async def change_settings(changes: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Change the settings that are named."""
        try:
            portal.change_settings(**changes)
        except ValidationError as error:
            raise HTTPException(422, error.errors(include_url=False, include_context=False)) from None
        return await settings()

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
    @router.put("/properties/{name}", status_code=204)
    async def change_property(name: str, changes: Annotated[dict[str, Any], Body()]) -> None:
        """Change a property's definition behind our back, whether or not HubSpot would allow it."""
        known = portal.schema.properties.get(name)
        if known is None:
            raise HTTPException(404, "no such property")
        portal.schema.add(known.definition | changes)

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
    async def requests(offset: Offset = 0, limit: Limit = 1_000) -> dict[str, Any]:
        """The calls that are still kept, oldest first; `total` counts all."""
        kept = list(portal.log.requests)[offset : offset + limit]
        return {"total": portal.log.total, "results": [request._asdict() for request in kept]}

    @router.get("/statistics")
    async def statistics() -> dict[str, Any]:
        return {
            "calls": portal.log.by_path(),
            "rate_limited_by_quota": portal.log.rate_limited_by_quota,
            "most_calls_in_a_window": portal.quota.most_calls_in_a_window,
            "used_today": portal.quota.used_today(portal.settings),
            "contacts": len(portal.contacts),
            "occurrences": len(portal.timeline.occurrences),
            "duplicate_occurrences": portal.timeline.duplicates,
        }

    @router.get("/contacts")
    async def contacts(offset: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
        page = portal.contacts.page(offset, limit)
        return {"total": len(portal.contacts), "results": [_shown_contact(contact) for contact in page]}

    @router.get("/contacts/{email}/timeline")
    async def contact_timeline(email: str) -> dict[str, Any]:
        address = emails.normalised(email)
        occurrences = portal.timeline.of(portal.contacts.by_email(address), address)
        return {"results": [occurrence.shown() for occurrence in occurrences]}

    @router.get("/timeline")
    async def timeline(offset: Offset = 0, limit: Limit = 1_000) -> dict[str, Any]:
        """The accepted occurrences in the order of their acceptance, and how many others were dropped."""
        occurrences = portal.timeline.occurrences
        return {
            "total": len(occurrences),
            "duplicates": portal.timeline.duplicates,
            "results": [occurrence.shown() for occurrence in occurrences[offset : offset + limit]],
        }


def _shown_rule(rule: Rule) -> dict[str, Any]:
    return {"id": rule.id, "matched": rule.matched, "fired": rule.fired, **rule.fault.model_dump(mode="json")}


def _shown_contact(contact: Contact) -> dict[str, Any]:
    return {
        "id": contact.id,
        "archived": contact.archived,
        "properties": contact.properties,
        "writes": [write._asdict() for write in contact.writes],
    }
