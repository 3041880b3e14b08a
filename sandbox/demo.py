"""The demo: sends a day of traffic through the whole system, with a HubSpot outage, and shows the results."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandbox.day.backend import Backend
from sandbox.day.dead_letters import read_dead_letters
from sandbox.day.ledger import Ledger
from sandbox.day.summary import Summary
from sandbox.day.traffic import Day
from sandbox.services import Service, console, consumer, producer
from sandbox.stack import Stack
from schemas.topics import Topics

# The rate that the smallest machine sustains for commits, publishing and delivery together.
COMMITS_PER_S: Final = 250.0
LOOK_EVERY_S: Final = 0.25
# Longer than the longest backoff: if no event is delivered for so long, none will be.
STUCK_AFTER_S: Final = 90.0
LATENCY_MS: Final = 100
OUTAGE_AT: Final = 0.4
OUTAGE_S: Final = 5
TIMELINE_ROWS: Final = 15


class Demo:
    """One run of the demo, with its data in *directory*."""

    def __init__(  # noqa: PLR0913 - the options of the command, by name
        self,
        directory: Path,
        console: Console,
        *,
        events: int,
        seed: int,
        keep: bool,
        api_version: str,
        custom_events: bool,
    ) -> None:
        self._directory: Final = directory
        self._console: Final = console
        self._events: Final = events
        self._seed: Final = seed
        self._keep: Final = keep
        self._api_version: Final = api_version
        self._custom_events: Final = custom_events

    async def run(self, stop: asyncio.Event) -> bool:
        """Return whether every event is accounted for, once, in order. With `keep`, run on until *stop* is set."""
        async with AsyncExitStack() as opened:
            stack = await opened.enter_async_context(Stack(self._directory, progress=self._say))
            await Ledger.install(stack.direct_url)
            await stack.simulator.change_settings(latency_ms=LATENCY_MS, custom_events=self._custom_events)
            environment = {**stack.environment, "HUBSPOT_API_VERSION": self._api_version}
            services = [make(self._directory, environment) for make in (producer, consumer)]
            for service in services:
                opened.push_async_callback(service.stop)
            self._say("starting the producer and the consumer")
            await asyncio.gather(*(service.launch_and_wait() for service in services))
            await self._play(stack, services)
            summary = await self._summary(stack)
            self._console.print(summary.table())
            await self._show_a_contact(stack)
            if self._keep:
                shown = console(self._directory, environment)
                opened.push_async_callback(shown.stop)
                await shown.launch_and_wait()
                self._show_addresses(stack, services, shown)
                await stop.wait()
        return summary.clean

    def _say(self, step: str) -> None:
        self._console.print(f"[dim]· {step}[/]")

    async def _play(self, stack: Stack, services: list[Service]) -> None:
        day = Day(self._events, self._seed, datetime.now(UTC)).happenings()
        backend = Backend(stack.environment["DATABASE_URL"], COMMITS_PER_S, prepares=stack.prepares)
        self._say(f"{len(day):,} events of {len({happening.contact for happening in day}):,} contacts, one poisoned")
        playing = asyncio.create_task(backend.play(day))
        try:
            with _bars(self._console) as bars:
                await _Journey(stack, services, backend, len(day), bars).follow(playing)
        except _Stuck as stuck:
            self._console.print(f"[red]{stuck}[/]")
            for service in services:
                self._console.print(f"[red]the log of the {service.name} ends:[/]")
                self._console.print(service.tail(), markup=False)
        finally:
            playing.cancel()

    async def _summary(self, stack: Stack) -> Summary:
        return Summary.of(
            await Ledger.read(stack.direct_url),
            await stack.simulator.accepted(),
            await read_dead_letters(stack.kafka.bootstrap_servers, Topics().dead_letters),
            await stack.simulator.statistics(),
        )

    async def _show_a_contact(self, stack: Stack) -> None:
        ledger = await Ledger.read(stack.direct_url)
        email = ledger.busiest_contact()
        title = f"The timeline of {email} in HubSpot"
        table = Table("occurred at", "event", "amount", "balance", title=title, row_styles=["", "dim"])
        entries = await stack.simulator.timeline_of(email)
        for occurred_at, event, properties in map(_shown, entries[:TIMELINE_ROWS]):
            amounts = (_dollars(properties.get(name)) for name in ("amount_cents", "new_balance_cents"))
            table.add_row(f"{datetime.fromisoformat(occurred_at):%Y-%m-%d %H:%M:%S}", event, *amounts)
        if len(entries) > TIMELINE_ROWS:
            table.caption = f"and {len(entries) - TIMELINE_ROWS} more"
        self._console.print(table)

    def _show_addresses(self, stack: Stack, services: list[Service], shown: Service) -> None:
        self._console.print("Still running, until Ctrl-C:")
        self._console.print(f"  [bold]console: {shown.url}[/], where this token signs in an operator:")
        self._console.print(f"    {stack.environment['CONSOLE_OPERATOR_TOKEN']}", soft_wrap=True)
        for service in services:
            self._console.print(f"  {service.name}: {service.url}/v1/health, {service.url}/metrics")
        self._console.print(f"  consumer's status: {services[1].url}/v1/status")
        self._console.print(f"  HubSpot simulator: {stack.simulator.url}")
        for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
            self._console.print(f"  {name}={stack.environment[name]}", soft_wrap=True)


def _shown(entry: Mapping[str, Any]) -> tuple[str, str, Mapping[str, str]]:
    """Return the time, name and properties of an entry's event; the entry is a custom event or a note."""
    if entry["kind"] == "event":
        return entry["occurredAt"], entry["eventName"].partition("nerava_")[2], entry["properties"]
    title, *lines = unescape(entry["body"]).split("<br>")
    properties = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return entry["timestamp"], title.removeprefix("<b>").removesuffix("</b>").replace(" ", "_"), properties


def _dollars(cents: str | None) -> str:
    return f"{int(float(cents)) / 100:,.2f}" if cents else ""


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


class _Stuck(RuntimeError):
    """No more events arrive."""


class _Journey:
    """Shows the progress of the events from commit to delivery, and starts the outage."""

    def __init__(self, stack: Stack, services: list[Service], backend: Backend, events: int, bars: Progress) -> None:
        self._stack: Final = stack
        self._services: Final = services
        self._backend: Final = backend
        self._events: Final = events
        self._bars: Final = bars
        self._committed: Final = bars.add_task("committed in PostgreSQL", total=events)
        self._delivered: Final = bars.add_task("delivered to HubSpot", total=events)
        self._had_outage = False

    async def follow(self, playing: asyncio.Task[None]) -> None:
        """Return when all committed events have arrived. Raises _Stuck, and any exception of *playing*."""
        loop = asyncio.get_running_loop()
        last, moved_at = -1, loop.time()
        while (arrived := await self._arrived()) < self._backend.committed or not playing.done():
            self._bars.update(self._committed, completed=self._backend.committed)
            self._bars.update(self._delivered, completed=arrived)
            if playing.done():
                playing.result()
            if arrived != last:
                last, moved_at = arrived, loop.time()
            if loop.time() - moved_at > STUCK_AFTER_S:
                raise _Stuck(f"nothing arrived for {STUCK_AFTER_S:g} s")
            for service in self._services:
                if not service.running:
                    raise _Stuck(f"the {service.name} ended with code {service.exit_code}")
            await self._break_hubspot()
            await asyncio.sleep(LOOK_EVERY_S)
        playing.result()
        self._bars.update(self._committed, completed=self._backend.committed)
        self._bars.update(self._delivered, completed=arrived)

    async def _arrived(self) -> int:
        dead_letters: Mapping[str, int] = (await self._services[1].status()).get("dead_letters", {})
        return await self._stack.simulator.entries() + sum(dead_letters.values())

    async def _break_hubspot(self) -> None:
        if not self._had_outage and self._backend.committed >= self._events * OUTAGE_AT:
            self._had_outage = True
            await self._stack.simulator.add_fault(
                {"answer": {"kind": "status", "status": 503, "style": "html"}, "when": {"for_s": OUTAGE_S}}
            )
            self._bars.console.print(f"[yellow]· HubSpot answers 503 to everything for {OUTAGE_S} s[/]")
