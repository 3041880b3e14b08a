"""The examination: it runs all checks at once, each with a time limit. A failed check does not affect the others."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

# Time limits of a check and of a lookup. A lookup, which several checks share, has less time: its caller reports the
# timeout.
CHECK_WITHIN_S: Final = 6.0
LOOK_WITHIN_S: Final = 5.0
CLOSE_WITHIN_S: Final = 2.0

T = TypeVar("T")
Level = Literal["ok", "warn", "fail", "skip"]
Progress = Callable[[int, int], object]
"""A callback with the number of finished checks, and their total number."""


@dataclass(frozen=True)
class Finding:
    """The result of one check in one line, and the remedy. Names and levels are a public contract."""

    name: str
    level: Level
    what: str
    do: str = ""


class Answer(NamedTuple):
    """The answer of a check: a finding without a name."""

    level: Level
    what: str
    do: str = ""


def ok(what: str) -> Answer:
    return Answer("ok", what)


def warn(what: str, do: str) -> Answer:
    return Answer("warn", what, do)


def fail(what: str, do: str) -> Answer:
    return Answer("fail", what, do)


class CannotTell(Exception):
    """A check can't be made. The message says why. It is no fault by itself: another check reports the cause."""


@dataclass(frozen=True)
class Check:
    """One check. `ask` may raise CannotTell or any other exception: each becomes a finding."""

    name: str
    ask: Callable[[], Awaitable[Answer]]
    on_hang: str = ""


class Look(Generic[T]):
    """A lookup that several checks share: the first check that needs the result starts it, with a time limit.

    Every caller of `seen` gets the same result or the same exception, TimeoutError after the limit. A check of its own
    reports *failures*; *see* refers the other checks to that one.
    """

    def __init__(
        self, look: Callable[[], Coroutine[Any, Any, T]], failures: tuple[type[Exception], ...] = (), see: str = ""
    ) -> None:
        self._look: Final = look
        self._failures: Final = failures
        self._see: Final = see
        self._task: asyncio.Task[T] | None = None

    async def seen(self) -> T:
        if self._task is None:
            self._task = asyncio.create_task(asyncio.wait_for(self._look(), LOOK_WITHIN_S))
        # The cancellation of one check must not cancel the lookup that the others need.
        return await asyncio.shield(self._task)

    async def known(self) -> T:
        """Return the result. Raises CannotTell for one of the failures."""
        try:
            return await self.seen()
        except self._failures as error:
            raise CannotTell(self._see) from error


@dataclass(frozen=True)
class Checks:
    """Checks that share connections, and the function that closes these."""

    checks: Sequence[Check]
    close: Callable[[], Awaitable[Any]] | None = None


async def examine(groups: Sequence[Checks], progress: Progress = lambda _done, _total: None) -> list[Finding]:
    """Return one finding per check, in the order of the checks, within a few seconds."""
    checks = [check for group in groups for check in group.checks]
    done = 0

    async def noted(check: Check) -> Finding:
        nonlocal done
        finding = await _made(check)
        done += 1
        progress(done, len(checks))
        return finding

    findings = await asyncio.gather(*(noted(check) for check in checks))
    for group in groups:
        if group.close is not None:
            with suppress(Exception):
                await asyncio.wait_for(group.close(), CLOSE_WITHIN_S)
    return list(findings)


async def _made(check: Check) -> Finding:
    task = asyncio.ensure_future(check.ask())
    # `wait_for` would wait for a client that handles its cancellation slowly.
    await asyncio.wait({task}, timeout=CHECK_WITHIN_S)
    if not task.done():
        task.cancel()
        return Finding(check.name, "fail", f"no answer within {CHECK_WITHIN_S:g} s", check.on_hang)
    try:
        return Finding(check.name, *task.result())
    except CannotTell as why:
        return Finding(check.name, "skip", str(why))
    except TimeoutError:
        return Finding(check.name, "fail", "no answer in time", check.on_hang)
    except Exception as error:  # noqa: BLE001 - any error in a check becomes its finding
        return Finding(check.name, "fail", f"the check itself failed ({type(error).__name__}: {error})")


def duration(seconds: float) -> str:
    """Return *seconds* rounded down in the largest unit of which there are two or more: `12 s`, `7 min`, `3 h`, `5
    days`.
    """
    whole = max(0, int(seconds))
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def count(number: int, thing: str, *, at_most: int | None = None) -> str:
    """Return `1 row`, `12 rows`, or `100,000 rows or more` where the count ended at *at_most*."""
    words = f"{number:,} {thing}{'' if number == 1 else 's'}"
    return f"{words} or more" if at_most is not None and number >= at_most else words


def hours_and_minutes(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    return f"{minutes // 60} h {minutes % 60:02} min"
