"""Calls that search for contacts."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from sandbox.hubspot.clock import iso
from sandbox.hubspot.http.answers import Answer, invalid
from sandbox.hubspot.http.calls import Call, as_text, as_texts, is_number
from sandbox.hubspot.operations.contacts.contact_records import record, shown_of
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.search import find

LONGEST_PAGE: Final = 200
PAGE: Final = 10
FARTHEST: Final = 10_000


def search(portal: Portal, call: Call) -> Answer:
    """Return a page of contacts as they were `search_lag_s` ago; paging ends after FARTHEST results."""
    body = call.object()
    limit, after = _number(body, "limit", PAGE), _number(body, "after", 0)
    if limit > LONGEST_PAGE:
        raise invalid(f"A page of a search has at most {LONGEST_PAGE} results.")
    if after + limit > FARTHEST:
        raise invalid(f"There was a problem with the request: paging ends after {FARTHEST} results.")
    until = iso(portal.clock.now() - timedelta(seconds=portal.settings.search_lag_s))
    found = find(portal.schema, portal.contacts.all(), body, until)
    asked = as_texts(body.get("properties"))
    results = [
        record(portal, one.contact, shown_of(portal, one.properties, asked)) for one in found[after : after + limit]
    ]
    answer: dict[str, Any] = {"total": len(found), "results": results}
    if after + limit < len(found):
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return Answer(200, answer)


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    text = as_text(body.get(name))
    if not text:
        return default
    if not is_number(text):
        raise invalid(f"Invalid input JSON on line 1, column 1: '{name}' is no number.")
    return int(text)
