"""Problems: the intake's refusals as problem details (RFC 9457), which name fields and quote no value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from schemas.contacts import shortened

Code = Literal[
    "unauthorized",
    "bad_idempotency_key",
    "malformed_json",
    "unknown_event_type",
    "too_slow",
    "too_large",
    "unsupported_media_type",
    "invalid_event",
    "idempotency_key_reused",
    "busy",
    "unavailable",
]
"""The codes of the problems. Callers switch on their `type`, so the words are a public contract."""

MEDIA_TYPE: Final = "application/problem+json"
# Limits on a problem's faults and on a field's name: a caller may send a megabyte of either.
MOST_FAULTS: Final = 50
LONGEST_NAME: Final = 100


@dataclass(frozen=True)
class Kind:
    """The common parts of the problems with one code. The page at /docs shows `advice`."""

    status: HTTPStatus
    title: str
    advice: str


KINDS: Final[dict[Code, Kind]] = {
    "unauthorized": Kind(
        HTTPStatus.UNAUTHORIZED,
        "No valid token",
        "Send Authorization: Bearer with one of the tokens of PRODUCER_INTAKE_TOKEN.",
    ),
    "bad_idempotency_key": Kind(
        HTTPStatus.BAD_REQUEST,
        "No valid idempotency key",
        "Make a key for each event (a UUID, or an id of your own), and send the same one with each retry.",
    ),
    "malformed_json": Kind(HTTPStatus.BAD_REQUEST, "The body is not JSON", "Send JSON in UTF-8."),
    "unknown_event_type": Kind(HTTPStatus.NOT_FOUND, "No such event type", "The detail lists those there are."),
    "too_slow": Kind(HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly", "Try again."),
    "too_large": Kind(
        HTTPStatus(413),
        "The body is too large",
        "Send a batch in several parts.",
    ),
    "unsupported_media_type": Kind(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another type", "Send Content-Type: application/json."
    ),
    "invalid_event": Kind(
        HTTPStatus(422), "Not a valid event", "Nothing was taken. Correct the fields that `errors` names."
    ),
    "idempotency_key_reused": Kind(
        HTTPStatus(422), "The idempotency key belongs to another request", "Make a new key for another event."
    ),
    "busy": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once", "Try again after Retry-After, with the same key."
    ),
    "unavailable": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The outbox can't be reached",
        "The event may have been taken. Try again after Retry-After, with the same key.",
    ),
}


@dataclass(frozen=True)
class Fault:
    """A fault of a field. `index` is its event's place in the batch, from 0."""

    field: str
    detail: str
    index: int | None = None

    @classmethod
    def read(cls, line: str, *, within: str = "", index: int | None = None) -> Self:
        """Return the fault in *line*, `field: detail`. *within* is the name of the surrounding field."""
        field, _, detail = line.partition(": ")
        return cls(".".join(part for part in (within, field) if part) or "body", detail, index)

    def shown(self) -> dict[str, Any]:
        # The caller chooses a field's name, so it is shortened and masked.
        shown = {"field": shortened(self.field, LONGEST_NAME), "detail": self.detail}
        return shown if self.index is None else {"index": self.index, **shown}


class Problem(Exception):
    """The refusal of a request. *detail* and *faults* quote none of its values."""

    def __init__(
        self, code: Code, detail: str, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Final = code
        self._detail: Final = detail
        self._faults: Final = faults
        self._headers: Final = dict(headers or {})

    def response(self) -> Response:
        kind = KINDS[self.code]
        body: dict[str, Any] = {"type": f"/docs#{self.code}", "title": kind.title, "detail": self._detail}
        if self._faults:
            body["errors"] = [fault.shown() for fault in self._faults[:MOST_FAULTS]]
        return _problem(kind.status, body, self._headers)


def refuse_faulty(code: Code, faults: Sequence[Fault]) -> None:
    """Raise Problem with *code* if there are *faults*."""
    if faults:
        raise Problem(code, "nothing was taken: see `errors`", faults=faults)


def answer_with_problems(app: FastAPI) -> None:
    """Make *app* answer its own refusals (unknown path or method, internal errors) as problem details too."""
    # A redirect would name a host that the caller chose.
    app.router.redirect_slashes = False
    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answer)


async def _answer(_: Request, error: Exception) -> Response:
    match error:
        case Problem():
            return error.response()
        case HTTPException():
            return _unnamed(error.status_code, error.headers)
        case RequestValidationError():
            return _unnamed(422)
        case _:
            return _unnamed(500)


def _unnamed(status: int, headers: Mapping[str, str] | None = None) -> Response:
    return _problem(HTTPStatus(status), {"type": "about:blank", "title": HTTPStatus(status).phrase}, headers)


def _problem(status: HTTPStatus, body: dict[str, Any], headers: Mapping[str, str] | None) -> Response:
    text = json.dumps({**body, "status": status.value})
    return Response(text, status.value, headers=dict(headers or {}), media_type=MEDIA_TYPE)
