"""A source: something outside the console that is polled, and its last answers while they are fresh."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, Generic, NoReturn, TypeVar

import httpx
import psycopg
from aiokafka.errors import KafkaError

from console.processes import processes
from runtime.clock import Clock
from runtime.endings import CannotGoOn
from runtime.logs import log

Answer = TypeVar("Answer")
Found = TypeVar("Found")

EVERY_S: Final = 2.0
SOURCE_WITHIN_S: Final = 4.0
# An older answer is not used: the next one is overdue.
STALE_AFTER_S: Final = 10.0
# The window of rates. Over a shorter one, the rates of bursts would jump.
RATES_OF_S: Final = 10.0
REMEMBERED_S: Final = 60.0
# The window of the quantiles, and of the figures per minute.
MINUTE_S: Final = 60.0
NOT_ASKED: Final = "not asked yet"

# Kafka without a topic, or without equal partitions, is a CannotGoOn.
TROUBLES: Final = (httpx.HTTPError, psycopg.Error, KafkaError, CannotGoOn, OSError, TimeoutError, ValueError, KeyError)


class Source(Generic[Answer]):
    """Polls *ask* every EVERY_S. `answer` is None after a failed poll, and once the last answer is stale."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[Answer]], clock: Clock) -> None:
        self.name: Final = name
        self._ask = ask
        self._clock = clock
        self._answers: deque[tuple[float, Answer]] = deque()
        self._trouble: str | None = None
        # The time of the last answer.
        self.answered_at: datetime | None = None

    async def watch(self) -> NoReturn:
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Poll once, and store the answer, or why there is none."""
        try:
            async with asyncio.timeout(SOURCE_WITHIN_S):
                answer = await self._ask()
        except TROUBLES as error:
            if self._trouble is None:
                log.warning("console.not_read", source=self.name, error=type(error).__name__)
            self._trouble = _words(error)
            self._answers.clear()
        else:
            now = self._clock.monotonic()
            self._answers.append((now, answer))
            while self._answers[0][0] < now - REMEMBERED_S:
                self._answers.popleft()
            self._trouble, self.answered_at = None, self._clock.now()

    @property
    def answer(self) -> Answer | None:
        """The last answer, if it is fresh."""
        return self._answers[-1][1] if self._answers and not self._overdue else None

    @property
    def trouble(self) -> str | None:
        """The reason why `answer` is None, if it is."""
        if self._trouble is None and not self._answers:
            return NOT_ASKED
        return self._trouble or ("does not answer in time" if self._overdue else None)

    def rate(self, count: Callable[[Answer], float]) -> float | None:
        """Return the rise of a counter per second; None if it is unknown, as after a restart of the service."""
        span, risen = self._span(RATES_OF_S), self.increase(count, RATES_OF_S)
        if span is None or risen is None or span[1][0] == span[0][0]:
            return None
        return risen / (span[1][0] - span[0][0])

    def increase(self, count: Callable[[Answer], float], within_s: float) -> float | None:
        """Return the rise of a counter within about *within_s*; None if it is unknown."""
        return self.between(within_s, lambda now, then: _risen(count(now) - count(then)))

    def between(self, within_s: float, compare: Callable[[Answer, Answer], Found]) -> Found | None:
        """Return *compare* of the last answer and the one from about *within_s* ago; None if there are not two."""
        span = self._span(within_s)
        return None if span is None else compare(span[1][1], span[0][1])

    def spans(self, seconds: float) -> bool:
        """Return whether the answers reach about so far back."""
        span = self._span(seconds)
        return span is not None and span[1][0] - span[0][0] >= seconds - 2 * EVERY_S

    def _span(self, within_s: float) -> tuple[tuple[float, Answer], tuple[float, Answer]] | None:
        if self._overdue or len(self._answers) < 2:
            return None
        last = self._answers[-1]
        earliest = last[0] - within_s - EVERY_S / 2
        return next(answer for answer in self._answers if answer[0] >= earliest), last

    @property
    def _overdue(self) -> bool:
        return not self._answers or self._clock.monotonic() - self._answers[-1][0] > STALE_AFTER_S


class ProcessSources(Generic[Answer]):
    """The sources of all processes of a *kind*: each process that the addresses stand for at the moment."""

    def __init__(
        self, kind: str, addresses: Sequence[str], ask: Callable[[str], Awaitable[Answer]], clock: Clock
    ) -> None:
        self._kind: Final = kind
        self._addresses: Final = addresses
        self._ask: Final = ask
        self._clock: Final = clock
        self._sources = {address: self._source(address) for address in addresses}

    def __iter__(self) -> Iterator[Source[Answer]]:
        return iter(self._sources.values())

    async def watch(self) -> NoReturn:
        """Poll all processes, each by itself, and look for new ones and for those that are gone."""
        async with asyncio.TaskGroup() as group:
            watches: dict[Source[Answer], asyncio.Task[NoReturn]] = {}
            while True:
                await self.find()
                for source in set(self) - watches.keys():
                    watches[source] = group.create_task(source.watch())
                for source in watches.keys() - set(self):
                    watches.pop(source).cancel()
                await self._clock.sleep(EVERY_S)

    async def find(self) -> None:
        """Have a source for each process that there is now: it keeps its answers, and one that is gone leaves none."""
        found = await processes(self._addresses)
        self._sources = {address: self._sources.get(address) or self._source(address) for address in found}

    def _source(self, address: str) -> Source[Answer]:
        async def ask() -> Answer:
            return await self._ask(address)

        return Source(f"{self._kind} {address}", ask, self._clock)


def _risen(by: float) -> float | None:
    # A counter that fell was reset by a restart.
    return by if by >= 0 else None


def _words(error: Exception) -> str:
    match error:
        case TimeoutError() | httpx.TimeoutException():
            return "does not answer in time"
        case httpx.ConnectError() | ConnectionRefusedError():
            return "can't be reached"
        case httpx.HTTPStatusError():
            return f"answers {error.response.status_code}"
    return f"can't be read ({type(error).__name__})"
