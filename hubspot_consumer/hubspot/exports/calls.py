"""The calls of an export: HubSpot begins it, tells how far it is, and leads to its file.

Sources: HubSpot's specification, its guide to exports, and its SDKs, whose newer one requires each field of the body.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Any, Final

import httpx

from hubspot_consumer.hubspot.bodies import name_of, text_of
from hubspot_consumer.hubspot.exports.rows import ExportUnreadable
from hubspot_consumer.hubspot.outcomes import Refusal, Rejected
from hubspot_consumer.hubspot.status_codes import Answer, object_answered

# The packed rows of some ten million contacts.
LARGEST_FILE: Final = 2 * 1024**3
DOWNLOAD_WITHIN_S: Final = 1800.0
MOST_REDIRECTS: Final = 3
_AN_ID: Final = re.compile("[A-Za-z0-9_-]{1,100}")

Ask = Callable[..., Awaitable[Answer]]
"""Makes a call of a kind to a path, with a body or without one, in a slot."""


class Exports:
    """HubSpot makes one export after the other, up to 30 in a day. *ask* makes the calls."""

    def __init__(self, http: httpx.AsyncClient, path: str, ask: Ask) -> None:
        self._http: Final = http
        self._path: Final = path
        self._ask: Final = ask

    async def begin(self, names: Sequence[str]) -> str | Refusal:
        """Begin an export of all contacts with the properties *names*, and return its id."""
        body = {
            "exportType": "VIEW",
            "exportName": "nerava-audit",
            "format": "CSV",
            "language": "EN",
            "objectType": "CONTACT",
            "objectProperties": list(names),
            "associatedObjectType": [],
            "exportInternalValuesOptions": ["NAMES", "VALUES"],
            "includeLabeledAssociations": False,
            "includePrimaryDisplayPropertyForAssociatedObjects": False,
            "overrideAssociatedObjectsPerDefinitionPerRowLimit": False,
        }
        answered = object_answered(await self._ask("begin_export", self._path, body))
        if not isinstance(answered, dict):
            return answered
        named = name_of(answered.get("id"))
        return named if _AN_ID.fullmatch(named) else Rejected("rejected_by_hubspot", "HubSpot's answer has no id")

    async def link(self, export_id: str) -> str | Refusal | None:
        """Return the link to an export's file, which works for some minutes; None while HubSpot makes the file."""
        answered = object_answered(await self._ask("export_status", f"{self._path}/tasks/{export_id}/status"))
        return _link(answered) if isinstance(answered, dict) else answered

    async def download(self, link: str, file: IO[bytes]) -> None:
        """Write what *link* leads to into *file*. Raises ExportUnreadable."""
        try:
            async with asyncio.timeout(DOWNLOAD_WITHIN_S):
                await self._download(link, file)
        except TimeoutError:
            raise ExportUnreadable(f"the file did not arrive within {DOWNLOAD_WITHIN_S:g} s") from None
        # The message of an InvalidURL quotes the link, with which anybody can load the file.
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise ExportUnreadable(f"the file did not arrive: {type(error).__name__}") from None

    async def _download(self, link: str, file: IO[bytes]) -> None:
        url = httpx.URL(link)
        for _ in range(1 + MOST_REDIRECTS):
            if not self._may_load(url):
                raise ExportUnreadable("the link to the file is none of https")
            asked = self._http.build_request("GET", url, headers={"Accept-Encoding": "identity"})
            # The link leads to another host than the API's, which must not learn the token.
            response = await self._http.send(asked, auth=None, stream=True)
            try:
                if response.next_request is None:
                    return await _written(response, file)
                url = response.next_request.url
            finally:
                await response.aclose()
        raise ExportUnreadable(f"the link to the file leads on more than {MOST_REDIRECTS} times")

    def _may_load(self, url: httpx.URL) -> bool:
        """Return whether a file may be loaded from there: by https, or from the server of the calls itself."""
        base = self._http.base_url
        return url.scheme == "https" or (url.scheme, url.netloc) == (base.scheme, base.netloc)


def _link(body: dict[str, Any]) -> str | Refusal | None:
    status, link = text_of(body.get("status")), text_of(body.get("result"))
    if status == "CANCELED":
        return Rejected("rejected_by_hubspot", "HubSpot has cancelled the export")
    return link if status == "COMPLETE" and link else None


async def _written(response: httpx.Response, file: IO[bytes]) -> None:
    if response.status_code != 200:
        raise ExportUnreadable(f"the file's server answers {response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ExportUnreadable("the file came in a coding that was not asked for")
    received = 0
    async for part in response.aiter_raw():
        received += len(part)
        if received > LARGEST_FILE:
            raise ExportUnreadable(f"the file has over {LARGEST_FILE} bytes")
        file.write(part)
