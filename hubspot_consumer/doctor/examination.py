"""The examination: all checks at once, each within a bound, none hiding another."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from hubspot_consumer.doctor.findings import Answer, Finding

# Of a check, and less of what several checks look at together, which one of them reports.
CHECK_WITHIN_S: Final = 6.0
LOOK_WITHIN_S: Final = 5.0
CLOSE_WITHIN_S: Final = 2.0

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told how many checks are done."""


class CannotTell(Exception):
    """A check can't be made; the message says why. Not a fault by itself: another check reports the cause."""


@dataclass(frozen=True)
class Check:
    """One question. `ask` may raise CannotTell, and anything else as well: that is a finding too."""

    name: str
    ask: Callable[[], Awaitable[Answer]]
    on_hang: str = ""


class Look(Generic[T]):
    """What several checks need to see: looked at once, by the first that asks, within a bound.

    Whoever asks gets the same answer, or the same exception; TimeoutError when the time is over.
    """

    def __init__(self, look: Callable[[], Awaitable[T]], within_s: float = LOOK_WITHIN_S) -> None:
        self._look = look
        self._within_s: Final = within_s
        self._task: asyncio.Task[T] | None = None

    async def seen(self) -> T:
        if self._task is None:
            self._task = asyncio.create_task(self._bounded())
        # A check that is ended must not take the others' answer away.
        return await asyncio.shield(self._task)

    async def _bounded(self) -> T:
        async with asyncio.timeout(self._within_s):
            return await self._look()


@dataclass(frozen=True)
class Checks:
    """Checks that look with the same connections, and how to close those."""

    checks: Sequence[Check]
    close: Callable[[], Awaitable[Any]] | None = None


async def examine(groups: Sequence[Checks], progress: Progress | None = None) -> list[Finding]:
    """Return a finding of every check, in their order, a few seconds later at the most."""
    checks = [check for group in groups for check in group.checks]
    done = 0

    async def noted(check: Check) -> Finding:
        nonlocal done
        finding = await _made(check)
        done += 1
        if progress is not None:
            progress(done)
        return finding

    findings = await asyncio.gather(*(noted(check) for check in checks))
    for group in groups:
        if group.close is not None:
            with suppress(Exception):
                await asyncio.wait_for(group.close(), CLOSE_WITHIN_S)
    return list(findings)


def progress_at_a_terminal(total: int) -> Progress | None:
    """Return what shows the progress to a person, and None where nobody looks."""
    if not sys.stderr.isatty():
        return None

    def show(done: int) -> None:
        line = f"{done} of {total} checks" if done < total else ""
        sys.stderr.write(f"\r{line:<24}\r{line}")
        sys.stderr.flush()

    show(0)
    return show


async def _made(check: Check) -> Finding:
    task = asyncio.ensure_future(check.ask())
    # Not wait_for: a client that ends late when it is told to must not keep the person waiting.
    await asyncio.wait({task}, timeout=CHECK_WITHIN_S)
    if not task.done():
        task.cancel()
        return Finding(check.name, "fail", f"no answer within {CHECK_WITHIN_S:g} s", check.on_hang)
    try:
        return task.result().of(check.name)
    except CannotTell as why:
        return Finding(check.name, "skip", str(why))
    except TimeoutError:
        return Finding(check.name, "fail", "no answer in time", check.on_hang)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in one check is that check's finding
        return Finding(check.name, "fail", f"the check itself failed ({type(error).__name__}: {error})")
