"""Whatever a call contains, the simulator answers as HubSpot would: with a success or a refusal, never with a fault."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.hubspot.app import simulator_app
from sandbox.hubspot.http import routes
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from tests.examples import examples
from tests.samples import PORTAL_ID, TOKEN

CONTACTS = "/crm/objects/2026-03/contacts"
PROPERTIES = "/crm/properties/2026-03/contacts"
EVENT = f"pe{PORTAL_ID}_nerava_nova_earned"
ROUTES = sorted((method, route.path) for method, route in routes.documented() if "/v3/" not in route.path)

# Numbers that Python takes for digits and HubSpot does not, texts beyond Unicode, and values of every other type.
VALUES = st.sampled_from(
    [
        *(None, True, 0, -1, 5, 1e300, 10**40, "", " ", "²", "٣", "151", "9" * 30, "\ud800", "é" * 300, "EQ"),
        *([], {}, [None], [5], {"id": None}, "email", EVENT, "a@example.com", "9999-12-31T23:59:59+00:00"),
    ]
)
# A body of each kind that the operations read; the test puts other values into it.
BODIES: tuple[Mapping[str, Any], ...] = (
    {"inputs": [{"id": "a@example.com", "idProperty": "email", "properties": {"email": "b@example.com"}}]},
    {"inputs": [{"id": "151", "after": "1", "objectWriteTraceId": "t", "properties": {"phone": "1"}}]},
    {"idProperty": "email", "properties": ["email"], "inputs": [{"id": "151"}], "propertiesWithHistory": []},
    {
        "properties": {"email": "c@example.com", "hs_timestamp": "0", "hs_note_body": "x"},
        "associations": [
            {"to": {"id": "151"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}
        ],
    },
    {"inputs": [{"eventName": EVENT, "email": "a@example.com", "uuid": "u", "properties": {"amount_cents": "5"}}]},
    {"eventName": EVENT, "objectId": "151", "occurredAt": "2026-01-01T00:00:00Z", "properties": {}},
    {
        "name": "level",
        "label": "Level",
        "groupName": "contactinformation",
        "type": "enumeration",
        "fieldType": "select",
        "hasUniqueValue": False,
        "options": [{"label": "a", "value": "a", "displayOrder": 0, "hidden": False}],
    },
    {
        "label": "Won",
        "includeDefaultProperties": False,
        "primaryObject": "CONTACT",
        "propertyDefinitions": [{"label": "x", "name": "x", "type": "string", "options": []}],
    },
    {
        "filterGroups": [{"filters": [{"propertyName": "email", "operator": "IN", "values": ["a"], "value": "a"}]}],
        "sorts": [{"propertyName": "email", "direction": "DESCENDING"}],
        "query": "a",
        "limit": 1,
        "after": "0",
    },
    {
        "exportType": "VIEW",
        "format": "CSV",
        "exportName": "all",
        "language": "EN",
        "objectType": "CONTACT",
        "objectProperties": ["email"],
        "exportInternalValuesOptions": ["NAMES"],
        "publicCrmSearchRequest": {"filterGroups": [{"filters": []}], "sorts": []},
    },
    {"primaryObjectId": "151", "objectIdToMerge": "152"},
    {"objectId": "a@example.com", "idProperty": "email"},
    {"tokenKey": TOKEN},
)


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for name, item in inner for place in _places(item, (*way, name)))]


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """Return one of the bodies with another value in one or two places."""
    body: Any = json.loads(json.dumps(draw(st.sampled_from(BODIES))))
    if draw(st.booleans()) and "inputs" not in body:
        body = {"inputs": [body]}
    for _ in range(draw(st.integers(0, 2))):
        *way, last = draw(st.sampled_from(_places(body)[1:])) if _places(body)[1:] else (None,)
        holder = body
        for step in way:
            holder = holder[step]
        if last is not None:
            holder[last] = deepcopy(draw(VALUES))
    return draw(st.sampled_from([body] * 9 + [[], None, 5, "x", {"inputs": 5}]))


QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["limit", "after", "archived", "properties", "idProperty", "objectType", "objectId"]),
        st.sampled_from(["²", "", "-1", "9" * 30, "true", "email", "phone", "contact", "151", "\x00", "a,b"]),
    ),
    max_size=4,
)
IDS = st.sampled_from(["151", "²", "a@example.com", "%2F", "70001", "9" * 30, "-1", EVENT, "email", "groups", "\x00"])


async def _portal() -> Portal:
    portal = Portal(PORTAL_ID, [TOKEN], quota=10**6)
    await provision(portal)
    for email in ("a@example.com", "grace@example.com"):
        portal.contacts.create({"email": email})
    portal.change_settings(event_calls_per_s=10**6, searches_per_s=10**6)
    return portal


@pytest.fixture(scope="module")
def answer() -> Iterator[Callable[[str, str, bytes], int]]:
    """Return a function that makes a call, without an HTTP client between, and returns the status."""
    with asyncio.Runner() as runner:
        app = simulator_app(runner.run(_portal()))

        def answer(method: str, target: str, body: bytes) -> int:
            return runner.run(_status(app, method, target, body))

        yield answer


async def _status(app: Any, method: str, target: str, body: bytes) -> int:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode()), (b"host", b"hubspot")],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


def _target(template: str, named: str, query: list[tuple[str, str]] | None = None) -> str:
    path = template.replace("{id}", quote(named, safe="")).replace("{name}", quote(named, safe=""))
    return f"{path}?{urlencode(query)}" if query else path


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), named=IDS, query=QUERIES, body=bodies())
def test_no_call_makes_the_simulator_fail(
    answer: Callable[[str, str, bytes], int],
    route: tuple[str, str],
    named: str,
    query: list[tuple[str, str]],
    body: Any,
) -> None:
    method, template = route

    assert answer(method, _target(template, named, query), json.dumps(body).encode()) < 500


@pytest.mark.parametrize("body", [b"", b"{", b"9" * 5_000, b"[" * 5_000, b"\xff\xfe", b"null", b'"\\ud800"'])
def test_no_body_that_can_not_be_read_makes_the_simulator_fail(
    answer: Callable[[str, str, bytes], int], body: bytes
) -> None:
    for method, template in ROUTES:
        assert answer(method, _target(template, "151"), body) < 500, template
