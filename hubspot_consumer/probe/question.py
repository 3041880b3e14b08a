"""A question to the portal, and what was found: as expected, different, or nothing, for a reason."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from hubspot_consumer.hubspot.bodies import words_of
from hubspot_consumer.hubspot.outcomes import Refusal, is_forbidden
from hubspot_consumer.probe.subject import Subject

# Maximum length of what is printed of one answer of HubSpot's.
LONGEST_FOUND: Final = 300

Told = Literal["as_expected", "differs", "not_told"]
"""What a question led to. `--json` has these words, so they are a public contract."""


@dataclass(frozen=True)
class Found:
    """What a question led to, and HubSpot's answer in words, or the reason why nothing could be told.

    `try_again` is True if nothing was told for a reason that may pass, such as an outage.
    """

    told: Told
    what: str
    try_again: bool = False


def as_expected(what: str) -> Found:
    return Found("as_expected", words_of(what, LONGEST_FOUND))


def differs(what: str) -> Found:
    return Found("differs", words_of(what, LONGEST_FOUND))


def not_told(why: str | Refusal) -> Found:
    """Return that nothing could be told. A call that the tier or the scopes forbid stays forbidden; others may not."""
    if isinstance(why, str):
        return Found("not_told", words_of(why, LONGEST_FOUND))
    return Found("not_told", words_of(why.detail, LONGEST_FOUND), try_again=not is_forbidden(why))


def failed(error: Exception) -> Found:
    """Return that nothing could be told, because the question itself failed."""
    what = f"the question itself failed ({type(error).__name__}: {error})"
    return Found("not_told", words_of(what, LONGEST_FOUND), try_again=True)


@dataclass(frozen=True)
class Question:
    """One question. Names are a public contract.

    `expected` is what the client relies on, `how` is how the portal is asked. `means` says what another answer means,
    and `setting` names the variable that helps then, if one does.
    """

    name: str
    expected: str
    how: str
    means: str
    ask: Callable[[Subject], Awaitable[Found]]
    setting: str = ""
