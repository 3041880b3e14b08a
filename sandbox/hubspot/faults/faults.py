"""Faults: rules by which calls fail, before or after their writes took effect."""

from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.faults.known_answers import KnownName
from sandbox.hubspot.http.answers import RateLimitPolicy
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.schema import emails


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Match(_Part):
    """Selects the calls that meet all set conditions. `email` is searched in the path and the body, `text` in the body.

    Without a `path`, calls of all paths match.
    """

    method: str | None = None
    path: str = ""
    email: str | None = None
    text: str | None = None

    def holds(self, call: Call) -> bool:
        if (self.method and self.method.upper() != call.method) or self.path not in call.path:
            return False
        if self.email is None and self.text is None:
            return True
        body = call.body.decode(errors="replace")
        if self.email is not None and emails.normalised(self.email) in map(str.lower, call.segments):
            return self.text is None or self.text in body
        return self.named_in(body)

    def named_in(self, body: str) -> bool:
        """Return whether the text of a body, or of one of its inputs, has the email and the text."""
        if self.text is not None and self.text not in body:
            return False
        return self.email is None or f'"{emails.normalised(self.email)}"' in body.lower()


class When(_Part):
    """Selects those matching calls that meet all set conditions. Times are seconds since the rule was added."""

    nth: Annotated[int, Field(ge=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    rate: Annotated[float, Field(ge=0, le=1)] | None = None
    from_s: Annotated[float, Field(ge=0)] = 0
    for_s: Annotated[float, Field(ge=0)] | None = None


class StatusAnswer(_Part):
    """An error status with HubSpot's error JSON, plain text or an HTML page; `body` replaces the default body."""

    kind: Literal["status"] = "status"
    status: Annotated[int, Field(ge=200, le=599)]
    style: Literal["json", "text", "html"] = "json"
    body: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)


class KnownAnswer(_Part):
    """An answer that somebody published, by its name in `KNOWN`."""

    kind: Literal["known"] = "known"
    name: KnownName
    headers: dict[str, str] = Field(default_factory=dict)


class BadInputs(_Part):
    """Each input of a batch that `match` names is an error: of a 207, or, without trace ids, of the whole call."""

    kind: Literal["bad_inputs"] = "bad_inputs"
    category: str = "VALIDATION_ERROR"
    message: str
    status: Annotated[int, Field(ge=400, le=599)] = 400


class RateLimitAnswer(_Part):
    kind: Literal["rate_limit"] = "rate_limit"
    policy: RateLimitPolicy = "ten_secondly_rolling"


class DroppedConnection(_Part):
    """The connection ends without an answer."""

    kind: Literal["drop"] = "drop"


class Hang(_Part):
    """The connection ends without an answer after `seconds`."""

    kind: Literal["hang"] = "hang"
    seconds: Annotated[float, Field(ge=0)]


class Slow(_Part):
    """The usual answer, `seconds` later."""

    kind: Literal["slow"] = "slow"
    seconds: Annotated[float, Field(ge=0)]


class FewerResults(_Part):
    """A batch whose results lack `leave_out` inputs, without an error."""

    kind: Literal["fewer_results"] = "fewer_results"
    leave_out: Annotated[int, Field(ge=1)] = 1


class SilentNoOp(_Part):
    """A success with no results and no errors."""

    kind: Literal["silent"] = "silent"
    status: Literal[200, 207] = 200


FaultAnswer = Annotated[
    StatusAnswer
    | KnownAnswer
    | RateLimitAnswer
    | DroppedConnection
    | Hang
    | Slow
    | FewerResults
    | SilentNoOp
    | BadInputs,
    Field(discriminator="kind"),
]


class Fault(_Part):
    """A fault. The call fails `before` its write takes effect, or `after` it, by `apply`."""

    answer: FaultAnswer
    match: Match = Match()
    when: When = When()
    apply: Literal["before", "after"] = "before"


@dataclass(slots=True)
class Rule:
    """A fault in force, with the numbers of matching and failed calls."""

    id: int
    fault: Fault
    made_at: float
    matched: int = 0
    fired: int = 0

    def fires(self, now: float, random: Random) -> bool:
        """Count a matching call, and return whether it fails."""
        self.matched += 1
        when, age = self.fault.when, now - self.made_at
        fires = (
            (when.nth is None or self.matched == when.nth)
            and (when.count is None or self.fired < when.count)
            and age >= when.from_s
            and (when.for_s is None or age < when.from_s + when.for_s)
            and (when.rate is None or random.random() < when.rate)
        )
        self.fired += fires
        return fires


class Faults:
    def __init__(self, clock: PortalClock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._ids = count(1)
        self.rules: dict[int, Rule] = {}

    def add(self, fault: Fault) -> Rule:
        rule = Rule(next(self._ids), fault, self._clock.monotonic())
        self.rules[rule.id] = rule
        return rule

    def choose(self, call: Call) -> Fault | None:
        """Return the fault of the first rule that fires for a call, if any."""
        now = self._clock.monotonic()
        for rule in self.rules.values():
            if rule.fault.match.holds(call) and rule.fires(now, self._random):
                return rule.fault
        return None
