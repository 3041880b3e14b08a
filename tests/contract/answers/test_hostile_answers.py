"""Hostile answers of HubSpot, as raw bytes: each call ends in time, within its memory, with a documented outcome."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot import connection
from hubspot_consumer.hubspot.account import ContactLimit, PortalDetails, Usage
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.remote_contacts import ListedContacts
from hubspot_consumer.hubspot.requests import KnownContact, Note, RemoteContact, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import NotesOfContacts, Page, WriteAnswer
from hubspot_consumer.probe.run import Report, run
from hubspot_consumer.probe.subject import Subject
from hubspot_consumer.provisioning.differences import Differences
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from runtime.endings import CannotGoOn, Misconfigured
from schemas.contacts import ContactKey
from tests.clock import START, OwnedClock
from tests.contract.test_client import client_of
from tests.hostile.hubspot import answering
from tests.hostile.inputs import Input, inputs_of
from tests.samples import ID_PROPERTY, PORTAL_ID, TOKEN

ADA: Final = ContactKey("ada@example.com")
UPSERT: Final = Upsert("ada", ADA, {"nerava_role": "driver"})
ENTRY: Final = TimelineEntry("u1", "nova_earned", ADA, "1", START, {"amount": "5"})
# Each answer without an end takes this long, and any other must have ended long before the other limit.
SHORT_S: Final = 0.4
LONG_S: Final = 20.0
MOST_MEMORY: Final = 64 << 20

ANSWERS: Final = inputs_of("HubSpot answer")
Call = Callable[[HubSpotClient], Coroutine[Any, Any, Any]]


async def plan(client: HubSpotClient) -> Differences | RetryLater | Rejected | Halt:
    try:
        return await Provision(client).plan()
    except ProvisionRefused as refused:
        return refused.refusal


async def probed(client: HubSpotClient) -> Report | str:
    subject = Subject(client.ask, client.paths, PORTAL_ID, "auto", OwnedClock(), ID_PROPERTY)
    try:
        return await run(subject, client.spent, lambda _done, _total: None)
    except (CannotGoOn, Misconfigured) as why:
        return str(why)


CALLS: Final[dict[str, Call]] = {
    "create": lambda client: client.create([UPSERT]),
    "upsert": lambda client: client.upsert([UPSERT]),
    "update": lambda client: client.update([replace(UPSERT, contact_id="1")]),
    "move": lambda client: client.move("1", ADA),
    "known_contacts": lambda client: client.known_contacts([ADA]),
    "remote_contacts": lambda client: client.remote_contacts([ADA], ["nerava_role"]),
    "list_contacts": lambda client: client.list_contacts("0"),
    "send": lambda client: client.send([ENTRY]),
    "note": lambda client: client.note([Note("0", ENTRY)]),
    "notes_of_contacts": lambda client: client.notes_of_contacts([("1", None)]),
    "noted_events": lambda client: client.noted_events(["1"]),
    "page": lambda client: client.page(client.paths.properties, None),
    "define": lambda client: client.define(PATHS["2026-03"].properties, {}),
    "portal": lambda client: client.portal(),
    "scopes": lambda client: client.scopes(),
    "usage": lambda client: client.usage(),
    "takes_custom_events": lambda client: client.takes_custom_events(),
    "takes_notes": lambda client: client.takes_notes(),
    "contact_limit": lambda client: client.contact_limit(),
    "marketing_contacts": lambda client: client.marketing_contacts(),
    "begin_export": lambda client: client.exports.begin(["email"]),
    "export_link": lambda client: client.exports.link("1"),
    "provision": plan,
    "probe": probed,
}
DOCUMENTED: Final = (
    *(Delivered, RetryLater, Rejected, Halt, WriteAnswer, Page, NotesOfContacts, PortalDetails, Usage, Differences),
    *(ContactLimit, Report, dict, set, frozenset, bool, int, str, type(None)),
    ListedContacts,
)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The connections for all answers, since each has to leave them as usable as they were."""
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN)) as http:
        yield http


@asynccontextmanager
async def client_of_hostile(
    hostile: Input, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HubSpotClient]:
    """Return a client whose calls are answered so, and end after a short time if the answer has no end."""
    monkeypatch.setattr(connection, "CALL_WITHIN_S", SHORT_S if "again" in hostile.fields else LONG_S)
    async with answering(hostile) as server:
        http.base_url = httpx.URL(server.base_url)
        # A client of its own: an answer may ask for a pause of all later calls.
        yield client_of(http)
    assert server.reached == []


def said(outcome: Outcome) -> str:
    match outcome:
        case Delivered():
            return "delivered"
        case RetryLater():
            return "tried again"
        case Rejected():
            return "rejected"
        case Halt():
            return f"halt: {outcome.reason}"


def words_in(found: object) -> list[str]:  # noqa: C901, PLR0911 - a table with a line for each kind of outcome
    """Return the words of HubSpot that an outcome passes on, which end in logs, dead letters and pages."""
    match found:
        case RetryLater() | Rejected() | Halt():
            return [found.detail, found.correlation_id or "", *getattr(found, "unwritable", ())]
        case Delivered():
            return [found.contact_id]
        case WriteAnswer():
            return [words for outcome in found.outcomes.values() for words in words_in(outcome)]
        case Differences():
            return [found.no_custom_events or "", *(one.what + one.path for one in found.missing)] + [
                one.what for one in found.mismatches
            ]
        case dict():
            return [words for contact in found.values() for words in words_in(contact)]
        case KnownContact() | RemoteContact():
            return [found.contact_id]
        case NotesOfContacts():
            return found.note_ids
        case Report():
            return [one.what for _, one in found.found] + words_in(found.left)
        case str():
            return [found]
        case ListedContacts():
            return [one.contact_id for one in found.contacts]
    return []


async def test_a_write_ends_as_the_answer_means(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {}
    for hostile in ANSWERS:
        async with client_of_hostile(hostile, http, monkeypatch) as client:
            ended[hostile.name] = said((await client.upsert([UPSERT])).outcomes["ada"])

    assert ended == {hostile.name: hostile.outcome for hostile in ANSWERS}


async def test_every_call_ends_with_a_documented_outcome_in_clean_words(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, faults = dict[str, httpx.Response](), []
    for hostile in ANSWERS:
        async with client_of_hostile(hostile, http, monkeypatch):
            # Without an answer each call gets the same exception, and none has anything to read.
            with suppress(httpx.RequestError):
                answers[hostile.name] = await connection.request(http, "GET", "/")

    def again(_: httpx.Request) -> httpx.Response:
        answer = answers[named]
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), httpx.MockTransport(again)) as mocked:
        for named in answers:
            outcomes = await asyncio.gather(*(call(client_of(mocked)) for call in CALLS.values()))
            for name, found in zip(CALLS, outcomes, strict=True):
                unclean = [words for words in words_in(found) if not words.isprintable() or TOKEN in words]
                if unclean or not isinstance(found, DOCUMENTED):
                    faults.append((named, name, unclean or found))

    assert faults == []


async def test_no_answer_takes_more_memory_than_its_bound(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = {}
    for hostile in ANSWERS:
        async with client_of_hostile(hostile, http, monkeypatch) as client:
            tracemalloc.start()
            try:
                await client.remote_contacts([ADA], [])
                _, most[hostile.name] = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()

    assert {name: size >> 20 for name, size in most.items() if size > MOST_MEMORY} == {}


async def test_no_cookie_of_an_answer_is_kept(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    [cookies] = [one for one in ANSWERS if one.name == "cookies"]
    async with client_of_hostile(cookies, http, monkeypatch) as client:
        await client.portal()

    assert list(http.cookies.jar) == []
