"""HubSpot's answers as they were recorded: a file each under `tests/hubspot_responses`, in the folder of its outcome.

`source` and `sure` are those of docs/hubspot-simulator.md, `call` is the reader that the answer is for (`other`: none
of ours), `request` what was asked, `expected` what the reader makes of the answer: for the whole call, or for each
trace id or contact key. `pending` says what the reader still gets wrong. Where HubSpot's documentation says that
something is answered but nobody recorded the body, the body is the simulator's, and `source` says so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from hubspot_consumer.hubspot.outcomes import Refusal
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.remote_contacts import as_known, read_remote_contacts
from hubspot_consumer.hubspot.requests import KnownContacts
from schemas.contacts import ContactKey

FOLDER: Final = Path(__file__).parent / "hubspot_responses"
_PATHS: Final = PATHS["2026-03"]
_CALLS: Final = {
    "create": f"POST {_PATHS.contacts}/batch/create",
    "upsert": f"POST {_PATHS.contacts}/batch/upsert",
    "update": f"POST {_PATHS.contacts}/batch/update",
    "read": f"POST {_PATHS.contacts}/batch/read",
    "send": f"POST {_PATHS.send_events}",
    "notes": f"POST {_PATHS.notes}/batch/create",
    "notes_of_contacts": f"POST {_PATHS.notes_of_contacts}",
    "noted": f"POST {_PATHS.notes}/batch/read",
    "account": f"GET {_PATHS.account}",
    "definitions": f"GET {_PATHS.event_definitions}",
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One answer. `body` is JSON, or text when it is a string, or nothing when it is None."""

    name: str
    source: str
    sure: Literal["certain", "likely", "unclear"]
    call: str
    status: int
    body: Any
    expected: str | dict[str, str]
    path: str = ""
    request: Any = None
    headers: Mapping[str, str] | None = None
    pending: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def method_and_url(self) -> tuple[str, str]:
        """What was called, in a version of the API that has it."""
        method, _, url = (self.path or _CALLS[self.call]).partition(" ")
        return method, url

    @property
    def inputs(self) -> list[Any]:
        asked = self.request.get("inputs") if isinstance(self.request, dict) else None
        return asked if isinstance(asked, list) else []

    def response(self) -> httpx.Response:
        """Return it as httpx would."""
        text = "" if self.body is None else self.body if isinstance(self.body, str) else json.dumps(self.body)
        method, url = self.method_and_url
        request = httpx.Request(method, f"https://api.hubapi.com{url}")
        return httpx.Response(self.status, content=text, headers=self.headers, request=request)


def _read() -> Iterator[Recorded]:
    for file in sorted(FOLDER.rglob("*.json")):
        yield Recorded(name=str(file.relative_to(FOLDER).with_suffix("")), **json.loads(file.read_text()))


RECORDED: Final = tuple(_read())


def known_to(response: httpx.Response, keys: Sequence[ContactKey]) -> KnownContacts | Refusal:
    """Return what a batch read by email says of contacts, as the client reads it."""
    found = read_remote_contacts(response, keys)
    return as_known(found) if isinstance(found, dict) else found
