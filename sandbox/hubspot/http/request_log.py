"""The request log: the last calls, and counters of all calls."""

from collections import Counter, deque
from typing import Final, NamedTuple

MOST_KEPT: Final = 20_000


class Request(NamedTuple):
    """One call. `path` is the route's, without the data of a contact; `status` is None if there was no answer."""

    time: str
    method: str
    path: str
    status: int | None
    token: str
    inputs: int | None
    caused_by_fault: bool


class RequestLog:
    def __init__(self) -> None:
        self.requests: deque[Request] = deque(maxlen=MOST_KEPT)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.rate_limited_by_quota = 0
        self.total = 0

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.total += 1
        status = "dropped" if request.status is None else str(request.status)
        self.calls[f"{request.method} {request.path}", status] += 1
        if request.status == 429 and not request.caused_by_fault:
            self.rate_limited_by_quota += 1

    def by_path(self) -> dict[str, dict[str, int]]:
        paths: dict[str, dict[str, int]] = {}
        for (path, status), number in self.calls.items():
            paths.setdefault(path, {})[status] = number
        return paths
