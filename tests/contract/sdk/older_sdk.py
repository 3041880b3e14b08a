"""HubSpot's older SDK, which has v3 of the API and v4 of the associations: its clients, and a tour of both."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

import uvicorn
from hubspot import HubSpot
from hubspot.discovery.discovery_base import DiscoveryBase

from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.records.portal import Portal
from tests.samples import PORTAL_ID, TOKEN

WITHIN_S: Final = 10.0
ADA, GRACE, MARY = "ada@example.com", "grace@example.com", "mary@example.com"
AT: Final = "2026-11-24T03:00:00.000Z"
OPTIONS: Final = [{"label": "A", "value": "a", "displayOrder": 0, "hidden": False}]
NOTED: Final = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]


@contextmanager
def served(portal: Portal) -> Iterator[str]:
    """Serve the portal in a thread: the SDK has no other transport than a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(simulator_app(portal), log_config=None))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + WITHIN_S
        while not server.started:
            assert time.monotonic() < deadline, "the simulator does not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(WITHIN_S)


class Sdk:
    """The SDK's clients, each closed in the end. They check every answer against HubSpot's specification."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: list[Any] = []

    def __call__(self, token: str = TOKEN, *, checked: bool = True) -> Any:
        return HubSpot(
            access_token=token,
            host=self._url,
            base_url=self._url,
            api_factory=self._remember,
            client_side_validation=checked,
        )

    def _remember(self, package: Any, name: str, configuration: dict[str, Any]) -> Any:
        api = DiscoveryBase._default_api_factory(package, name, configuration)
        self._clients.append(api.api_client)
        return api

    def close(self) -> None:
        for client in self._clients:
            client.rest_client.pool_manager.clear()
            client.close()


def take_tour(client: Any, portal: Portal) -> None:
    """Make every call once, on a new portal. Raises the SDK's error for an answer that it can not read."""
    _properties(client)
    ids = _contacts(client)
    _notes(client, ids[0])
    _events(client, portal, ids[0])
    _exports(client)
    contacts = client.crm.contacts
    merged = contacts.basic_api.merge({"primaryObjectId": ids[0], "objectIdToMerge": ids[1]})
    contacts.basic_api.archive(ids[2])
    contacts.batch_api.archive({"inputs": [{"id": ids[2]}]})
    contacts.basic_api.purge({"objectId": merged.id})


def _properties(client: Any) -> None:
    properties = client.crm.properties
    kind = {"groupName": "ours", "type": "enumeration", "fieldType": "select", "options": OPTIONS}
    properties.groups_api.create("contacts", {"name": "ours", "label": "Ours", "displayOrder": -1})
    properties.groups_api.get_all("contacts")
    properties.groups_api.get_by_name("contacts", "ours")
    properties.core_api.create("contacts", {"name": "level", "label": "Level", **kind})
    properties.core_api.update("contacts", "level", {"label": "Rank"})
    properties.core_api.get_by_name("contacts", "level")
    properties.core_api.get_all("contacts")
    properties.batch_api.create("contacts", {"inputs": [{"name": "rank", "label": "Rank", **kind}]})
    properties.core_api.archive("contacts", "rank")


def _contacts(client: Any) -> list[str]:
    basic, batch = client.crm.contacts.basic_api, client.crm.contacts.batch_api
    ada = basic.create({"properties": {"email": ADA}})
    upserts = [{"id": email, "idProperty": "email", "properties": {"phone": "1"}} for email in (ADA, GRACE)]
    upserted = batch.upsert({"inputs": upserts})
    created = batch.create({"inputs": [{"properties": {"email": MARY}}]})
    batch.update({"inputs": [{"id": ada.id, "properties": {"phone": "2"}}]})
    batch.read({"inputs": [{"id": ADA}], "idProperty": "email", "properties": ["email"]})
    basic.update(ada.id, {"properties": {"phone": "3"}})
    basic.get_by_id(ada.id, properties=["email"])
    client.crm.contacts.search_api.do_search({"limit": 1, "properties": ["email"]})
    [grace] = [result.id for result in upserted.results if result.id != ada.id]
    return [ada.id, grace, created.results[0].id]


def _notes(client: Any, contact_id: str) -> None:
    basic, batch = client.crm.objects.notes.basic_api, client.crm.objects.notes.batch_api
    associations = [{"to": {"id": contact_id}, "types": NOTED}]
    note = {"properties": {"hs_timestamp": AT, "hs_note_body": "x"}, "associations": associations}
    made = basic.create(note)
    batch.create({"inputs": [note]})
    basic.get_by_id(made.id, properties=["hs_note_body"])
    batch.read({"inputs": [{"id": made.id}], "properties": ["hs_note_body"]})
    client.crm.associations.v4.basic_api.get_page("contacts", contact_id, "notes")
    client.crm.associations.v4.batch_api.get_page("contacts", "notes", {"inputs": [{"id": contact_id}]})
    basic.archive(made.id)
    batch.archive({"inputs": [{"id": made.id}]})


def _events(client: Any, portal: Portal, contact_id: str) -> None:
    portal.event_definitions.add("won", {"label": "Won", "includeDefaultProperties": False}, [])
    event = {"eventName": f"pe{PORTAL_ID}_won", "objectId": contact_id, "uuid": "1", "properties": {}}
    client.events.send.basic_api.send(event)
    client.events.send.batch_api.send({"inputs": [event | {"uuid": "2", "occurredAt": AT}]})
    client.events.events_api.get_page(object_type="contact", object_id=int(contact_id))


def _exports(client: Any) -> None:
    asked = {"exportType": "VIEW", "exportName": "audit", "format": "CSV", "language": "EN", "objectType": "CONTACT"}
    exports = client.crm.exports.public_exports_api
    started = exports.start(asked | {"objectProperties": ["email"], "exportInternalValuesOptions": ["NAMES"]})
    assert exports.get_status(int(started.id)).status == "COMPLETE"
