"""Provisioning: what is planned and created, what is only named, and what is never touched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Halt
from hubspot_consumer.hubspot.paths import PATHS, ApiVersion
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, PROPERTIES, SEQUENCE
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from runtime.clock import SystemClock
from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.http.auth import SCHEMAS_WRITE
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision as provision_it
from tests.samples import PORTAL_ID, TOKEN

MANY_CALLS = 10_000
BALANCE = "nerava_nova_balance_cents"


@asynccontextmanager
async def provisioning(portal: Portal, version: ApiVersion) -> AsyncIterator[Provision]:
    transport = httpx.ASGITransport(simulator_app(portal))
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), transport) as http:
        clock = SystemClock()
        rate_limiter = RateLimiter(MANY_CALLS, 10, DailyQuota(MANY_CALLS, clock), clock)
        client = HubSpotClient(http, rate_limiter, version, PORTAL_ID, lambda _call: None)
        yield Provision(client)


@pytest.fixture
async def provision(portal: Portal) -> AsyncIterator[Provision]:
    """Provisioning of a portal that has everything."""
    await provision_it(portal)
    portal.change_settings(quota=MANY_CALLS)
    async with provisioning(portal, "2026-03") as provision:
        yield provision


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": "string", "fieldType": "text"}, "is of type string, and should be number"),
        ({"fieldType": "calculation_equation"}, "has the fieldType calculation_equation, and should have number"),
        ({"modificationMetadata": {"readOnlyValue": True}}, "is read-only"),
        ({"calculated": True}, "is read-only"),
        ({"hasUniqueValue": True}, "has hasUniqueValue, and contacts share values"),
    ],
)
async def test_a_property_that_differs_is_named_and_left_alone(
    portal: Portal, provision: Provision, changes: dict[str, Any], named: str
) -> None:
    portal.schema.add(portal.schema.properties[BALANCE].definition | changes)

    plan = await provision.plan()

    assert plan.missing == []
    assert [mismatch.what for mismatch in plan.mismatches] == [f"property {BALANCE} {named}"]


async def test_properties_for_bookkeeping_are_created_hidden_from_people_and_one_of_them_is_optional(
    portal: Portal, provision: Provision
) -> None:
    ours = {name for name, one in portal.schema.properties.items() if one.definition.get("hidden") is True}
    assert ours == {SEQUENCE, LAST_EVENT_ID, "nerava_contact_key"}

    portal.schema.properties.pop(LAST_EVENT_ID)
    [missing] = (await provision.plan()).missing
    assert missing.optional


async def test_an_archived_property_is_named_and_not_restored_against_the_will_of_who_archived_it(
    portal: Portal, provision: Provision
) -> None:
    portal.schema.archive(BALANCE)

    plan = await provision.plan()

    assert plan.missing == []
    assert [mismatch.what for mismatch in plan.mismatches] == [f"property {BALANCE} is archived"]


async def test_missing_options_are_named(portal: Portal, provision: Provision) -> None:
    role = portal.schema.properties["nerava_role"].definition
    portal.schema.add(role | {"options": [{"label": "Driver", "value": "driver"}, {"label": "New", "value": "new"}]})

    assert [mismatch.what for mismatch in (await provision.plan()).mismatches] == [
        "property nerava_role lacks the options merchant"
    ]


async def test_a_property_that_an_event_definition_lacks_is_added_to_it(portal: Portal, provision: Provision) -> None:
    definition = portal.event_definitions.by_name["nerava_nova_earned"]
    del definition.properties["amount_cents"]

    [missing] = (await provision.plan()).missing
    await provision.create(missing)

    assert missing.what == "property amount_cents of event nerava_nova_earned"
    assert definition.properties["amount_cents"]["type"] == "number"
    assert (await provision.plan()).missing == []


async def test_an_event_property_of_another_type_is_named(portal: Portal, provision: Provision) -> None:
    portal.event_definitions.by_name["nerava_nova_earned"].properties["amount_cents"]["type"] = "string"

    [mismatch] = (await provision.plan()).mismatches

    assert mismatch.what == "property amount_cents of event nerava_nova_earned is of type string, and should be number"


async def test_where_custom_events_are_refused_the_rest_is_planned(portal: Portal, provision: Provision) -> None:
    portal.change_settings(custom_events=False)
    del portal.schema.properties[BALANCE]

    plan = await provision.plan()

    assert [missing.what for missing in plan.missing] == [f"property {BALANCE}"]
    assert plan.no_custom_events is not None
    assert "behavioral_events.event_definitions.read_write" in plan.no_custom_events


async def test_a_property_that_may_not_be_created_is_refused_by_name(portal: Portal, provision: Provision) -> None:
    del portal.schema.properties[BALANCE]
    [missing] = (await provision.plan()).missing
    portal.tokens.add(TOKEN, ("crm.objects.contacts.read",))

    with pytest.raises(ProvisionRefused, match=f"property {BALANCE}: 403 .*{SCHEMAS_WRITE}") as refused:
        await provision.create(missing)

    assert isinstance(refused.value.refusal, Halt)


async def test_definitions_that_tell_next_to_nothing_are_not_judged(portal: Portal, provision: Provision) -> None:
    for wanted in PROPERTIES:
        known = portal.schema.properties[wanted.name].definition
        for name in ("type", "fieldType", "options", "modificationMetadata", "hasUniqueValue", "calculated"):
            known.pop(name, None)

    plan = await provision.plan()

    assert (plan.missing, plan.mismatches) == ([], [])


@pytest.mark.parametrize("version", list(PATHS))
async def test_each_event_gets_a_card_and_one_that_people_changed_stays(portal: Portal, version: ApiVersion) -> None:
    portal.change_settings(quota=MANY_CALLS)
    portal.event_definitions.by_name.clear()
    async with provisioning(portal, version) as provision:
        for missing in (await provision.plan()).missing:
            await provision.create(missing)
        shown = portal.event_definitions.by_name["nerava_nova_earned"].shown
        assert (shown["headerTemplate"], [one["name"] for one in shown["propertyOrder"]][-2:]) == (
            "Earned {{amount}}",
            ["amount", "new_balance"],
        )
        shown["headerTemplate"] = "Hurrah: {{amount}}"
        assert (await provision.plan()).missing == []


async def test_a_definition_of_an_earlier_version_gets_its_card_and_its_amounts_and_lacks_neither_for_workers(
    portal: Portal, provision: Provision
) -> None:
    definition = portal.event_definitions.by_name["nerava_nova_earned"]
    for name in ("amount", "new_balance"):
        del definition.properties[name]
    del definition.shown["headerTemplate"]

    plan = await provision.plan()
    assert [missing.what for missing in plan.missing] == [
        "property amount of event nerava_nova_earned",
        "property new_balance of event nerava_nova_earned",
        "card of event nerava_nova_earned",
    ]
    assert all(missing.optional for missing in plan.missing)
    for missing in plan.missing:
        await provision.create(missing)
    assert (await provision.plan()).missing == []
    assert definition.shown["headerTemplate"] == "Earned {{amount}}"
