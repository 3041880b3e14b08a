"""Paths that HubSpot's documents disagree about: after a 404, the other known paths of the same calls are tried."""

from collections.abc import Awaitable, Callable
from typing import Final

from hubspot_consumer.hubspot.outcomes import Rejected, is_not_found, is_unavailable
from hubspot_consumer.hubspot.paths import Paths
from hubspot_consumer.hubspot.status_codes import Answer, is_redirect, read_refusal, succeeded
from runtime.logs import log


class MovedPaths:
    """Stores the paths at which calls were found. Sending and definitions may have different ones."""

    def __init__(self, paths: Paths) -> None:
        self._known: Final = (paths.events, paths.accounts)
        self._found: Final[dict[str, str]] = {}

    async def ask(self, path: str, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a call to *path*. If it does not exist, try each of its other known paths once, until one exists."""
        known = next((each for each in self._known if path.startswith(f"{each[0]}/")), None)
        if known is None:
            return await call(path)
        documented = known[0]
        rest = path.removeprefix(documented)
        what = rest.split("/")[1]
        used = self._found.get(what, documented)
        answer = await call(used + rest)
        if not _is_missing(answer):
            return answer
        for place in known:
            if place == used:
                continue
            elsewhere = await call(place + rest)
            if _is_there(elsewhere):
                _log(what, used + rest, place + rest)
                self._found[what] = place
                return elsewhere
            # HubSpot may answer 403 for a path that does not exist.
            if not is_unavailable(read_refusal(elsewhere)):
                # The answer does not show whether this path exists: the next call tries the paths again.
                return elsewhere
        return answer


def _log(what: str, path: str, using: str) -> None:
    match what:
        case "send":
            log.warning("hubspot.send_path_not_found", path=path, using=using)
        case "event-definitions":
            log.warning("hubspot.definitions_path_not_found", path=path, using=using)
        case _:
            log.warning("hubspot.account_path_not_found", path=path, using=using)


def _is_missing(answer: Answer) -> bool:
    # A redirect is no answer of HubSpot's to this call, and says nothing of the path.
    return not succeeded(answer) and not is_redirect(answer) and is_not_found(read_refusal(answer))


def _is_there(answer: Answer) -> bool:
    return succeeded(answer) or isinstance(read_refusal(answer), Rejected)
