"""Requests to the intake: their token (RFC 6750), their idempotency key, and their body."""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import Request

from producer.intake.problems import Problem

READ_WITHIN_S: Final = 10.0
# Maximum number of digits that Python converts. A longer number is read as a float, as JavaScript does; no field
# accepts it.
_MOST_DIGITS: Final = 4_000

# The key is a string of RFC 8941, as in the header's draft, or the bare word that most clients send.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(r"[!#-~][ -~]*")


def admit(request: Request, tokens: Iterable[str]) -> None:
    """Return if the Authorization header contains one of *tokens*. Raises Problem, `unauthorized`.

    There may be several tokens, so that one can be rotated without a gap.
    """
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Problem(
            "unauthorized",
            "the header Authorization should hold `Bearer` and a token",
            headers={"WWW-Authenticate": "Bearer"},
        )
    # All digests, which have equal lengths, are compared: the time that it takes shows nothing about a token.
    matches = [hmac.compare_digest(_digest(token.strip()), _digest(known)) for known in tokens]
    if not any(matches):
        raise Problem(
            "unauthorized",
            "the token is not one of PRODUCER_INTAKE_TOKEN",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def idempotency_key(request: Request) -> str | None:
    """Return the request's key, None if it has none. Raises Problem, `bad_idempotency_key`."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    quoted, bare = _QUOTED.fullmatch(given[0].strip()), _BARE.fullmatch(given[0].strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else bare[0] if bare else ""
    if len(given) > 1 or not 0 < len(key) <= 255:
        raise Problem("bad_idempotency_key", "the header Idempotency-Key should hold one key of 1 to 255 characters")
    return key


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
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > at_most:
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
