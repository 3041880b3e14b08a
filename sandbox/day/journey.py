"""The journey of a day's events, from commit to delivery: followed with progress bars, with an outage on the way."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandbox.day.backend import Backend
from sandbox.day.dead_letters import SetAside, read_dead_letters
from sandbox.day.story import Seen, Story
from sandbox.day.traffic import Happening
from sandbox.services import Service
from sandbox.stack import Stack
from schemas.topics import Topics

LOOK_EVERY_S: Final = 0.25
# Longer than the longest backoff: if no event is delivered for so long, none will be.
STUCK_AFTER_S: Final = 90.0
OUTAGE_AT: Final = 0.4
OUTAGE_S: Final = 5


class Stuck(RuntimeError):
    """No more events arrive."""


class Journey:
    """Follows the events of *day*, tells their story, and starts the outage."""

    def __init__(
        self, stack: Stack, services: Sequence[Service], backend: Backend, day: Sequence[Happening], console: Console
    ) -> None:
        self._stack: Final = stack
        self._services: Final = services
        self._backend: Final = backend
        self._events: Final = len(day)
        self._bars: Final = _bars(console)
        self._committed: Final = self._bars.add_task("committed in PostgreSQL", total=len(day))
        self._delivered: Final = self._bars.add_task("delivered to HubSpot", total=len(day))
        self._story: Final = Story(next(happening for happening in day if happening.poisoned), OUTAGE_S)
        self._began_at: Final = asyncio.get_running_loop().time()
        self._dead_letters: Sequence[SetAside] = ()
        self._had_outage = False

    async def follow(self, playing: asyncio.Task[None]) -> None:
        """Return when all committed events have arrived. Raises Stuck, and any exception of *playing*."""
        with self._bars:
            last, moved_at_s = -1, 0.0
            while (seen := await self._look()).arrived < seen.committed or not playing.done():
                if playing.done():
                    playing.result()
                if seen.arrived != last:
                    last, moved_at_s = seen.arrived, seen.at_s
                if seen.at_s - moved_at_s > STUCK_AFTER_S:
                    raise Stuck(f"nothing arrived for {STUCK_AFTER_S:g} s")
                for service in self._services:
                    if not service.running:
                        raise Stuck(f"the {service.name} ended with code {service.exit_code}")
                await self._break_hubspot(seen)
                await asyncio.sleep(LOOK_EVERY_S)
            playing.result()

    async def _look(self) -> Seen:
        """Look at everything, and show and tell what is seen."""
        status = await self._services[1].status()
        set_aside = sum(status.get("dead_letters", {}).values())
        if set_aside != len(self._dead_letters):
            self._dead_letters = await read_dead_letters(self._stack.kafka.bootstrap_servers, Topics().dead_letters)
        seen = Seen(
            at_s=asyncio.get_running_loop().time() - self._began_at,
            committed=self._backend.committed,
            arrived=await self._stack.simulator.entries() + set_aside,
            halted=_halts(status),
            dead_letters=self._dead_letters,
        )
        self._bars.update(self._committed, completed=seen.committed)
        self._bars.update(self._delivered, completed=seen.arrived)
        for told in self._story.tell(seen):
            self._say(seen, told)
        return seen

    async def _break_hubspot(self, seen: Seen) -> None:
        if not self._had_outage and seen.committed >= self._events * OUTAGE_AT:
            self._had_outage = True
            await self._stack.simulator.add_fault(
                {"answer": {"kind": "status", "status": 503, "style": "html"}, "when": {"for_s": OUTAGE_S}}
            )
            self._say(seen, self._story.begin_outage(seen.at_s))

    def _say(self, seen: Seen, told: str) -> None:
        line = Table.grid(padding=(0, 2))
        line.add_column(min_width=5, justify="right", style="dim", no_wrap=True)
        line.add_row(f"{seen.at_s:.0f} s", told)
        self._bars.console.print(line)


def _halts(status: dict[str, Any]) -> bool:
    return status.get("halted") is not None


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
