"""Answers: a status and a body, and the error bodies that several calls share."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

JSON: Final = "application/json;charset=utf-8"
RateLimitPolicy = Literal["ten_secondly_rolling", "daily", "secondly", "monthly", "search"]


@dataclass(slots=True)
class Answer:
    """The answer to a call. `payload` is a JSON value, a text, the bytes of a file, or None for an empty body."""

    status: int
    payload: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON

    def body(self) -> bytes:
        if self.payload is None:
            return b""
        if isinstance(self.payload, bytes):
            return self.payload
        if isinstance(self.payload, str):
            return self.payload.encode(errors="replace")
        return json.dumps(self.payload, separators=(",", ":")).encode()

    def correlation_id(self) -> str:
        """Return the correlation id for the header: that of the body if it has one, or a new one."""
        named = self.payload.get("correlationId") if isinstance(self.payload, dict) else None
        return named or str(uuid4())


class Refused(Exception):
    """The call is answered with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered with {answer.status}")
        self.answer: Final = answer


def error(status: int, message: str, category: str | None = None, **more: Any) -> Answer:
    """Return HubSpot's error envelope, without the fields whose value is None."""
    body = {"status": "error", "message": message, "correlationId": str(uuid4()), **more, "category": category}
    return Answer(status, {name: value for name, value in body.items() if value is not None})


def refuse(status: int, message: str, category: str | None = None, **more: Any) -> Refused:
    return Refused(error(status, message, category, **more))


def invalid(message: str, **more: Any) -> Refused:
    return refuse(400, message, "VALIDATION_ERROR", **more)


def not_found() -> Refused:
    # HubSpot's real answer has no category, unlike most errors.
    return refuse(404, "resource not found")


def rate_limited(policy: RateLimitPolicy, group: str) -> Answer:
    """Return the 429 of *policy*. Only that of search has a category, and only the others have an errorType."""
    if policy == "search":
        return error(429, "You have reached your secondly limit.", "RATE_LIMITS")
    answer = error(
        429,
        f"You have reached your {policy} limit.",
        errorType="RATE_LIMIT",
        policyName=policy.upper(),
    )
    if policy == "ten_secondly_rolling":
        answer.payload["groupName"] = group
    else:
        answer.payload["requestId"] = str(uuid4())
    return answer
