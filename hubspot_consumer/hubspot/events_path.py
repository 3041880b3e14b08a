"""The path of custom events. HubSpot's documents disagree about it, so after a 404 the other known paths are tried."""

from collections.abc import Awaitable, Callable
from typing import Final

from hubspot_consumer.hubspot.outcomes import Rejected, is_not_found, is_unavailable
from hubspot_consumer.hubspot.paths import Paths
from hubspot_consumer.hubspot.status_codes import Answer, read_refusal, succeeded
from runtime.logs import log


class EventsPath:
    """Stores the path at which custom events were found. Sending and definitions may have different paths."""

    def __init__(self, paths: Paths) -> None:
        self._known: Final = paths.events
        self._found: Final[dict[str, str]] = {}

    async def ask(self, path: str, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a call to *path*. If it does not exist, try each of the other known paths once, until one exists."""
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
            # HubSpot may answer 403 for a path that does not exist.
            if not is_unavailable(read_refusal(elsewhere)):
                # The answer does not show whether this path exists: the next call tries the paths again.
                return elsewhere
        return answer


def _is_missing(answer: Answer) -> bool:
    return not succeeded(answer) and is_not_found(read_refusal(answer))


def _is_there(answer: Answer) -> bool:
    return succeeded(answer) or isinstance(read_refusal(answer), Rejected)
