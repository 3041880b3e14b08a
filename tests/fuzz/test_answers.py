"""Answers that HubSpot should not give: no call raises, and each event still ends once."""

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.connection import http_client
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Note, TimelineEntry, Upsert
from schemas.contacts import ContactKey
from tests.clock import LoopClock, run_fast
from tests.contract.delivering import Worker
from tests.contract.test_delivery_property import portal_of_ours
from tests.fuzz.mangled import Mangler, valid_records
from tests.fuzz.reading import as_read
from tests.recorded import RECORDED
from tests.samples import PORTAL_ID, TOKEN

ANSWERS_OF_A_SEED = 200
# What `make test` runs of it; `make long` runs all, 20,000 answers.
SEEDS = [*range(5), *(pytest.param(seed, marks=pytest.mark.chaos) for seed in range(5, 100))]
STATUSES = (
    *(200, 201, 202, 204, 207, 301, 302, 304, 400, 401, 403, 404, 405, 409, 413, 414, 423, 429, 430, 477),
    *(500, 503, 530, 999),
)
HEADERS = (
    "X-HubSpot-RateLimit-Max",
    "X-HubSpot-RateLimit-Remaining",
    "X-HubSpot-RateLimit-Interval-Milliseconds",
    "X-HubSpot-RateLimit-Daily",
    "X-HubSpot-RateLimit-Daily-Remaining",
    "Retry-After",
    "Content-Type",
    "X-HubSpot-Correlation-Id",
)
VALUES = (
    *("", "0", "-1", "1", "100", "1e9", "9" * 40, "nan", "inf", "10000"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "é", "text/html"),
)
INPUTS = [Upsert(str(n), ContactKey(f"c{n}@example.com"), {"firstname": "Ada"}) for n in range(3)]


class Mangled(httpx.AsyncBaseTransport):
    """Gives recorded answers, most of them changed: status, headers, body. *behind* gives every other one, if any."""

    def __init__(self, seed: int, behind: httpx.AsyncBaseTransport | None = None) -> None:
        self._mangler = Mangler(seed)
        self._behind = behind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        chance, recorded = self._mangler.chance, self._mangler.chance.choice(RECORDED)
        if self._behind is not None and chance.random() < 0.5:
            return await self._behind.handle_async_request(request)
        response = recorded.response()
        status = chance.choice(STATUSES) if chance.random() < 0.4 else recorded.status
        headers = {name: chance.choice(VALUES) for name in chance.sample(HEADERS, chance.randint(0, 3))}
        try:
            body = self._mangler.octets(self._mangler.document(response.json()))
        except ValueError:
            body = response.content
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        return httpx.Response(status, headers=given, stream=httpx.ByteStream(body))


async def ask_everything(seed: int) -> Counter[str]:
    clock, asked = LoopClock(), Counter[str]()
    async with http_client("http://hubspot", lambda: SecretStr(TOKEN), Mangled(seed)) as http:
        limiter = RateLimiter(100, 10, DailyQuota(250_000, clock), clock)
        client = HubSpotClient(http, limiter, "2026-03", PORTAL_ID, lambda _call: None)
        chance, keys, paths = random.Random(seed), [one.contact_key for one in INPUTS], PATHS["2026-03"]
        entry = TimelineEntry("u1", "nova_earned", keys[0], "1", clock.now(), {})
        calls: dict[str, Any] = {
            "create": lambda: client.create(INPUTS),
            "upsert": lambda: client.upsert(INPUTS),
            "update": lambda: client.update([replace(INPUTS[0], contact_id="1")]),
            "move": lambda: client.move("1", keys[0]),
            "known_contacts": lambda: client.known_contacts(keys),
            "remote_contacts": lambda: client.remote_contacts(keys, ["firstname"]),
            "list_contacts": lambda: client.list_contacts("0"),
            "send": lambda: client.send([entry]),
            "note": lambda: client.note([Note("0", entry)]),
            "notes_of_contacts": lambda: client.notes_of_contacts([("1", None)]),
            "noted_events": lambda: client.noted_events(["1"]),
            "page": lambda: client.page(paths.event_definitions, None),
            "define": lambda: client.define(paths.event_definitions, {}),
            "portal": client.portal,
            "scopes": client.scopes,
            "usage": client.usage,
            "takes_custom_events": client.takes_custom_events,
            "takes_notes": client.takes_notes,
            "contact_limit": client.contact_limit,
            "marketing_contacts": client.marketing_contacts,
            "begin_export": lambda: client.exports.begin(["email"]),
            "export_link": lambda: client.exports.link("1"),
        }
        for _ in range(ANSWERS_OF_A_SEED):
            name = chance.choice(list(calls))
            _ = (client.spent(), limiter.left, limiter.spacing_s)
            answer = await calls[name]()
            json.dumps(repr(answer)).encode()
            if name in ("create", "upsert"):
                told = {*answer.outcomes, *(one.trace_id for one in answer.unclear)}
                assert told == {one.trace_id for one in INPUTS}, answer
            asked[name] += 1
    return asked


@pytest.mark.parametrize("seed", SEEDS)
def test_no_answer_makes_a_call_raise_or_leave_an_input_without_its_outcome(seed: int) -> None:
    assert run_fast(ask_everything(seed)).total() == ANSWERS_OF_A_SEED


@pytest.mark.parametrize("seed", SEEDS)
def test_each_event_ends_once_whatever_half_of_the_answers_are(seed: int) -> None:
    read = [as_read(each) for each in valid_records(60)]
    worker = Worker(portal_of_ours(), (), seed, lambda way: Mangled(seed, way))

    receipts = run_fast(worker.read(read))

    ended = Counter(f"{each.topic}-{each.partition}-{each.offset}" for each in receipts)
    assert ended == Counter(each.place for each in read)
