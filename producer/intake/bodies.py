"""Bodies of requests: they are read as JSON, with limits on size and time."""

import asyncio
import json
from typing import Any, Final

from fastapi import Request

from producer.intake.problems import Problem

READ_WITHIN_S: Final = 10.0
# Maximum number of digits that Python converts. A longer number is read as a float, as JavaScript does; no field
# accepts it.
_MOST_DIGITS: Final = 4_000


async def read_json(request: Request, *, at_most: int) -> Any:
    """Return the body. Raises Problem if it is too large, too slow, of another type, or no JSON.

    NaN, infinities, numbers of any size and unpaired surrogates are accepted here, because the model that refuses them
    can name the field.
    """
    _check_type(request)
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            body = await _read(request, at_most)
    except TimeoutError:
        raise Problem(
            "too_slow", f"the body took more than {READ_WITHIN_S:g} s", headers={"Connection": "close"}
        ) from None
    return _parse(body)


def _check_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != "application/json":
        raise Problem(
            "unsupported_media_type",
            "the header Content-Type should be application/json",
            headers={"Accept": "application/json"},
        )
    if "charset" in parameters and "utf-8" not in parameters:
        raise Problem("unsupported_media_type", "JSON is in UTF-8", headers={"Accept": "application/json"})
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "the body is compressed", headers={"Accept-Encoding": "identity"})


async def _read(request: Request, at_most: int) -> bytes:
    # A client that is still sending can read the answer: the server discards the rest without storing it.
    too_large = Problem("too_large", f"the body may have {at_most:,} octets")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > at_most:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > at_most:
            raise too_large
    return bytes(body)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_int=_integer)
    except UnicodeDecodeError:
        raise Problem("malformed_json", "the body is not in UTF-8") from None
    except RecursionError:
        raise Problem("malformed_json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Problem("malformed_json", f"the body is not JSON: {error}") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)
