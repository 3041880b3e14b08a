"""Forms: how large one may be, how long it may take to arrive, and of what it is made."""

import asyncio
from typing import Final
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect

# In octets. The largest form has the ids of up to 200 dead letters.
LARGEST_FORM: Final = 64 * 1024
MOST_FIELDS: Final = 250
ARRIVES_WITHIN_S: Final = 10.0
TOO_LARGE: Final = f"a form may have {LARGEST_FORM:,} octets, and says how many it has"

Form = ImmutableMultiDict[str, str]
"""The fields of a form, all of them texts. The console's pages send no files."""


def says_it_is_small(request: Request) -> bool:
    # Browsers send the length of a form. A request without one is refused, since its body may be endless.
    length = request.headers.get("Content-Length", "")
    return length.isdecimal() and int(length[:20]) <= LARGEST_FORM


async def read_form(request: Request) -> Form:
    """Return the request's form. Raises HTTPException for one that is too large, too slow or no form of a page."""
    try:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            body = await _read(request)
    except TimeoutError:
        words = f"the form took more than {ARRIVES_WITHIN_S:g} s"
        raise HTTPException(408, words, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the form is incomplete") from None
    media_type, _, _ = request.headers.get("Content-Type", "").partition(";")
    if body and media_type.strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form should be application/x-www-form-urlencoded, as pages send it")
    try:
        return Form(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise HTTPException(400, f"a form may have {MOST_FIELDS} fields") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise HTTPException(413, TOO_LARGE)
    return bytes(body)
