"""The property of HUBSPOT_ID_PROPERTY: how it is created, and what happens where it is missing or not unique."""

import random
from typing import Any

import pytest
from pydantic import SecretStr

from hubspot_consumer.cli.portal.provision import _provisioned
from hubspot_consumer.delivery.portal import NotProvisioned
from hubspot_consumer.delivery.portal import Portal as PortalCheck
from hubspot_consumer.doctor.environment import DoctorSettings, Environment
from hubspot_consumer.doctor.portal import PortalChecks
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.provisioning.provision import Provision
from hubspot_consumer.settings import Settings
from sandbox.hubspot.records.portal import Portal
from tests.clock import OwnedClock
from tests.contract.identity.writers import Writer, portal_with
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN

SETTINGS = Settings(
    hubspot_private_app_token=SecretStr(TOKEN), hubspot_portal_id=PORTAL_ID, hubspot_id_property=ID_PROPERTY
)


async def portal_where_it_is(changes: dict[str, Any] | None, *, archived: bool = False) -> Portal:
    """Return a portal with the property as *changes* make it, or without it."""
    portal = await portal_with(EMAIL if changes is None else ID_PROPERTY)
    if changes:
        portal.schema.add(portal.schema.properties[ID_PROPERTY].definition | changes)
    if archived:
        portal.schema.archive(ID_PROPERTY)
    return portal


async def checked(portal: Portal) -> None:
    writer = Writer(portal)
    await PortalCheck(writer.client, SETTINGS, writer.breaker, OwnedClock(), random.Random(1)).check()


async def test_provision_creates_it_unique_and_hidden_and_then_lacks_nothing() -> None:
    portal = await portal_with(EMAIL)
    provision = Provision(Writer(portal).client)

    [missing] = (await provision.plan()).missing
    await provision.create(missing)

    definition = portal.schema.properties[ID_PROPERTY].definition
    assert missing.what == f"property {ID_PROPERTY}"
    assert [definition[name] for name in ("hasUniqueValue", "hidden", "type")] == [True, True, "string"]
    again = await provision.plan()
    assert (again.missing, again.mismatches) == ([], [])
    await checked(portal)


async def test_with_email_nothing_of_it_is_asked_or_created() -> None:
    portal = await portal_with(EMAIL)
    writer = Writer(portal, EMAIL)

    assert (await Provision(writer.client).plan()).missing == []
    await PortalCheck(
        writer.client,
        Settings(hubspot_portal_id=PORTAL_ID),
        writer.breaker,
        OwnedClock(),
        random.Random(1),
    ).check()

    assert not any(path.endswith("/properties/2026-03/contacts") for path in list(portal.log.by_path())[5:])


@pytest.mark.parametrize(
    ("changes", "archived", "words"),
    [
        (None, False, "the portal has no such property: run `python -m hubspot_consumer provision --apply`"),
        ({"hasUniqueValue": False}, False, "is not unique, so that no contact can be found by it: set HUBSPOT_ID_PROP"),
        ({"type": "number", "fieldType": "number"}, False, "is of type number, and should be string"),
        ({}, True, "is archived"),
    ],
)
async def test_a_worker_refuses_to_start_without_a_property_to_find_contacts_by(
    changes: dict[str, Any] | None, words: str, *, archived: bool
) -> None:
    with pytest.raises(NotProvisioned) as refused:
        await checked(await portal_where_it_is(changes, archived=archived))

    assert words in str(refused.value)
    assert "HUBSPOT_ID_PROPERTY" in str(refused.value)


async def test_a_token_that_may_not_read_properties_keeps_no_worker_from_starting() -> None:
    portal = await portal_with()
    portal.tokens.add(TOKEN, ("crm.objects.contacts.write",))

    await checked(portal)


async def test_provision_refuses_one_that_is_not_unique_and_names_the_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal = await portal_where_it_is({"hasUniqueValue": False})

    assert not await _provisioned(SETTINGS, Provision(Writer(portal).client), apply=True)

    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("differs")]
    assert f"property {ID_PROPERTY} is not unique" in line
    assert "set HUBSPOT_ID_PROPERTY to the name of a new property" in line


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, "ok", "all are there"),
        (None, "fail", f"missing: property {ID_PROPERTY}"),
        ({"hasUniqueValue": False}, "fail", f"property {ID_PROPERTY} is not unique"),
    ],
)
async def test_the_doctor_says_whether_it_is_there_and_unique(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any] | None, level: str, words: str
) -> None:
    portal = await portal_where_it_is(changes)
    for name, value in (("PRIVATE_APP_TOKEN", TOKEN), ("PORTAL_ID", str(PORTAL_ID)), ("ID_PROPERTY", ID_PROPERTY)):
        monkeypatch.setenv(f"HUBSPOT_{name}", value)
    checks = PortalChecks(Environment(DoctorSettings()), OwnedClock(), offline=False)
    checks._http._transport = Writer(portal).way

    found = await checks.properties()
    await checks._http.aclose()

    assert (found.level, words in found.what) == (level, True)
