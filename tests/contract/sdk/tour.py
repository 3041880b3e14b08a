"""A tour of HubSpot's newer SDK: it makes each call that the simulator has, and its strict models read the answers."""

from typing import Any, Final

import httpx

from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from tests.samples import PORTAL_ID, TOKEN

# The version of HubSpot's API that the SDK was generated for.
SDK_VERSION: Final = "2026-03"
ADA, GRACE, MARY = "ada@example.com", "grace@example.com", "mary@example.com"
AT: Final = "2026-11-24T03:00:00.000Z"
OPTIONS: Final = [{"label": "A", "value": "a", "display_order": 0, "hidden": False}]
NOTED: Final = [{"association_category": "HUBSPOT_DEFINED", "association_type_id": 202}]


class MovedTransport(httpx.AsyncBaseTransport):
    """Sends the SDK's calls to the simulator, in another version of the API than its own."""

    def __init__(self, portal: Portal, version: str) -> None:
        self._version = version
        self._inner = httpx.ASGITransport(simulator_app(portal))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.replace(SDK_VERSION.encode(), self._version.encode())
        request.url = request.url.copy_with(raw_path=path)
        return await self._inner.handle_async_request(request)


def client(package: Any, transport: httpx.AsyncBaseTransport) -> Any:
    """Return the SDK's client, which refuses an answer that lacks something that HubSpot's specification requires."""
    http = httpx.AsyncClient(transport=transport, base_url="http://hubspot")
    return package.AsyncHubSpot(
        access_token=TOKEN,
        base_url="http://hubspot",
        http_client=http,
        max_retries=0,
        _strict_response_validation=True,
    )


async def take_tour(sdk: Any) -> None:
    """Make every call once, on a new portal. Raises the SDK's error for an answer that it can not read."""
    await _account(sdk)
    await _properties(sdk)
    ids = await _contacts(sdk)
    await _notes(sdk, ids)
    await _events(sdk, ids[0])
    await _exports(sdk)
    await _ends(sdk, ids)


async def _account(sdk: Any) -> None:
    await sdk.account.get()
    await sdk.account.get_daily_private_apps_usage()
    await sdk.crm.limits.get_custom_property_limits()
    await sdk.crm.limits.get_record_limits()


async def _properties(sdk: Any) -> None:
    properties = sdk.crm.properties
    kind = {"group_name": "ours", "type": "enumeration", "field_type": "select", "options": OPTIONS}
    await properties.groups.create("contacts", name="ours", label="Ours", display_order=-1)
    await properties.groups.list("contacts")
    await properties.groups.get("ours", object_type="contacts")
    await properties.create("contacts", name="level", label="Level", **kind)
    await properties.update("level", object_type="contacts", label="Rank")
    await properties.get("level", object_type="contacts")
    await properties.list("contacts")
    await properties.batch.create("contacts", inputs=[{"name": "rank", "label": "Rank", **kind}])
    await properties.delete("rank", object_type="contacts")


async def _contacts(sdk: Any) -> list[str]:
    contacts = sdk.crm.objects.contacts
    ada = await contacts.create(associations=[], properties={"email": ADA})
    upserts = [
        {"id": email, "id_property": "email", "properties": {"phone": "1"}, "object_write_trace_id": email}
        for email in (ADA, GRACE)
    ]
    upserted = await contacts.batch.upsert(inputs=upserts)
    created = await contacts.batch.create(inputs=[{"properties": {"email": MARY}, "associations": []}])
    await contacts.batch.update(inputs=[{"id": ada.id, "properties": {"phone": "2"}}])
    await contacts.batch.get(
        inputs=[{"id": ADA}], properties=["email"], properties_with_history=[], id_property="email"
    )
    await contacts.update(ada.id, properties={"phone": "3"})
    await contacts.get(ada.id, properties=["email", "phone"])
    filters = [{"property_name": "email", "operator": "EQ", "value": ADA}]
    await contacts.search(
        after="0", filter_groups=[{"filters": filters}], limit=1, properties=["email"], sorts=["email"]
    )
    [grace] = [result.id for result in upserted.results if result.id != ada.id]
    return [ada.id, grace, created.results[0].id]


async def _notes(sdk: Any, contact_ids: list[str]) -> None:
    notes = sdk.crm.objects.notes
    note = {"properties": {"hs_timestamp": AT, "hs_note_body": "x"}}
    made = await notes.create(**note, associations=[{"to": {"id": contact_ids[0]}, "types": NOTED}])
    await notes.batch.create(inputs=[note | {"associations": [{"to": {"id": contact_ids[0]}, "types": NOTED}]}])
    await notes.get(made.id, properties=["hs_note_body"])
    await notes.batch.get(inputs=[{"id": made.id}], properties=["hs_note_body"], properties_with_history=[])
    await sdk.crm.associations.list("notes", object_type="contacts", object_id=contact_ids[0])
    await sdk.crm.associations.batch.get("notes", from_object_type="contacts", inputs=[{"id": contact_ids[0]}])
    await notes.delete(made.id)
    await notes.batch.delete(inputs=[{"id": made.id}])


async def _events(sdk: Any, contact_id: str) -> None:
    definitions = sdk.events.definitions
    won = {"label": "Won", "name": "won", "include_default_properties": False, "primary_object": "CONTACT"}
    await definitions.create(**won, property_definitions=[{"label": "X", "name": "x", "type": "string"}])
    await definitions.create_property("won", label="Level", name="level", type="enumeration", options=OPTIONS)
    await definitions.get("won")
    await definitions.list(include_properties=True)
    await definitions.update("won", description="Somebody won.")
    event = {"event_name": f"pe{PORTAL_ID}_won", "object_id": contact_id, "uuid": "1", "properties": {"x": "1"}}
    await sdk.events.send.send(**event)
    await definitions.send_batch(inputs=[event | {"uuid": "2", "occurred_at": AT}])
    await sdk.events.occurrences.list(object_type="contact", object_id=int(contact_id))
    await definitions.delete("won")


async def _exports(sdk: Any) -> None:
    started = await sdk.crm.exports.create_async(
        associated_object_type=[],
        export_internal_values_options=["NAMES", "VALUES"],
        export_name="audit",
        export_type="VIEW",
        format="CSV",
        include_labeled_associations=False,
        include_primary_display_property_for_associated_objects=False,
        language="EN",
        object_properties=["email"],
        object_type="CONTACT",
        override_associated_objects_per_definition_per_row_limit=False,
    )
    done = await sdk.crm.exports.get_status(int(started.id))
    await sdk.crm.exports.get(int(started.id))
    assert done.status == "COMPLETE"
    assert done.result


async def _ends(sdk: Any, contact_ids: list[str]) -> None:
    contacts = sdk.crm.objects.contacts
    ada, grace, mary = contact_ids
    merged = await contacts.merge(primary_object_id=ada, object_id_to_merge=grace)
    await contacts.delete(mary)
    await contacts.batch.delete(inputs=[{"id": mary}])
    await contacts.gdpr_delete(object_id=merged.id)
