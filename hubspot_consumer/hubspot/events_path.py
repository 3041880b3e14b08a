"""Where custom events are: HubSpot's pages have disagreed about it, so a path that does not exist is looked for."""

from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from hubspot_consumer.hubspot.errors import read_refusal
from hubspot_consumer.hubspot.outcomes import Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.paths import Paths
from runtime.logs import logger

log = logger()

Answer = httpx.Response | RetryLater


class EventsPath:
    """Remembers where custom events were found, sending apart from definitions: pages have moved the one alone."""

    def __init__(self, paths: Paths) -> None:
        self._known: Final = paths.events
        self._found: Final[dict[str, str]] = {}

    async def ask(self, path: str, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a call to *path*; where that does not exist, to each other place of it, once, until one answers."""
        documented = self._known[0]
        rest = path.removeprefix(documented)
        if rest == path:
            return await call(path)
        what = rest.split("/")[1]
        used = self._found.get(what, documented)
        answer = await call(used + rest)
        if not _is_missing(answer):
            return answer
        for place in self._known:
            if place == used:
                continue
            elsewhere = await call(place + rest)
            if _is_there(elsewhere):
                log.warning(
                    "hubspot.send_path_not_found" if what == "send" else "hubspot.definitions_path_not_found",
                    path=used + rest,
                    using=place + rest,
                )
                self._found[what] = place
                return elsewhere
            if not _is_missing(elsewhere, or_forbidden=True):
                # Nobody knows yet: the next call looks again.
                return elsewhere
        return answer


def _is_missing(answer: Answer, *, or_forbidden: bool = False) -> bool:
    # A path that is gone may still be guarded: 403 does not say that the path exists.
    reasons = ("endpoint_not_found", "scope_missing") if or_forbidden else ("endpoint_not_found",)
    refusal = answer if isinstance(answer, RetryLater) or answer.is_success else read_refusal(answer)
    return isinstance(refusal, Halt) and refusal.reason in reasons


def _is_there(answer: Answer) -> bool:
    return isinstance(answer, httpx.Response) and (answer.is_success or isinstance(read_refusal(answer), Rejected))
