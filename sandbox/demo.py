"""The demo: sends a day of traffic through the whole system, with a HubSpot outage, and shows the results."""

import asyncio
import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from sandbox.day.backend import Backend
from sandbox.day.dead_letters import read_dead_letters
from sandbox.day.journey import Journey, Stuck
from sandbox.day.ledger import Ledger
from sandbox.day.summary import Summary
from sandbox.day.traffic import Day
from sandbox.services import Service, console, consumer, producer
from sandbox.stack import Stack
from schemas.topics import Topics

# The rate that the smallest machine sustains for commits, publishing and delivery together.
COMMITS_PER_S: Final = 250.0
LATENCY_MS: Final = 100
TIMELINE_ROWS: Final = 8


class Demo:
    """One run of the demo. `summary` is set when every event is accounted for."""

    def __init__(  # noqa: PLR0913 - the options of the command, by name
        self,
        console: Console,
        *,
        events: int,
        seed: int,
        keep: bool,
        opens: bool,
        api_version: str,
        custom_events: bool,
    ) -> None:
        self._console: Final = console
        self._events: Final = events
        self._seed: Final = seed
        self._opens: Final = opens
        self._api_version: Final = api_version
        self._custom_events: Final = custom_events
        self.keeps: Final = keep or opens
        self.summary: Summary | None = None

    async def run(self, directory: Path) -> None:
        """Play the day and account for it, with the data in *directory*. With `keeps`, run on until it is cancelled."""
        self._console.print("Kafka, PostgreSQL and a HubSpot simulator start on this machine. Nothing reaches HubSpot.")
        async with AsyncExitStack() as opened:
            stack = await opened.enter_async_context(Stack(directory, progress=self.say))
            await Ledger.install(stack.direct_url)
            await stack.simulator.change_settings(latency_ms=LATENCY_MS, custom_events=self._custom_events)
            environment = {**stack.environment, "HUBSPOT_API_VERSION": self._api_version}
            services = [make(directory, environment) for make in (producer, consumer)]
            for service in services:
                opened.push_async_callback(service.stop)
            self.say("starting the producer and the consumer")
            await asyncio.gather(*(service.launch_and_wait() for service in services))
            await self._play(stack, services)
            summary = await _summary(stack)
            await self._show_a_contact(stack)
            self._console.print(summary.table())
            self._console.print(summary.verdict())
            self.summary = summary
            if self.keeps:
                shown = console(directory, environment)
                opened.push_async_callback(shown.stop)
                await shown.launch_and_wait()
                await self._keep(stack, services, shown)
            self.say("stopping everything")
        if summary.clean:
            self._look_at(
                ("make demo ARGS=--open", "the same, then the console in your browser: mend that dead letter"),
                ("docs/getting-started.md", "an event of your own, in five minutes"),
                ("docs/architecture.md", "why no event is lost, and why the order holds"),
            )

    def say(self, step: str) -> None:
        """Say what begins now."""
        self._console.print(f"[dim]· {step}[/]")

    async def _play(self, stack: Stack, services: Sequence[Service]) -> None:
        day = Day(self._events, self._seed, datetime.now(UTC)).happenings()
        backend = Backend(stack.environment["DATABASE_URL"], COMMITS_PER_S, prepares=stack.prepares)
        contacts = len({happening.contact for happening in day})
        self._console.print(f"\n[bold]A day begins:[/] {len(day):,} events of {contacts:,} drivers and merchants.")
        playing = asyncio.create_task(backend.play(day))
        try:
            await Journey(stack, services, backend, day, self._console).follow(playing)
        except Stuck as stuck:
            self._console.print(f"[red]{stuck}[/]")
            for service in services:
                self._console.print(f"[red]the log of the {service.name} ends:[/]")
                self._console.print(service.tail(), markup=False)
        finally:
            playing.cancel()

    async def _show_a_contact(self, stack: Stack) -> None:
        ledger = await Ledger.read(stack.direct_url)
        email = ledger.busiest_contact()
        title = f"\nThe timeline of {email} in HubSpot"
        table = Table("occurred at", "event", "amount", "balance", title=title, row_styles=["", "dim"])
        entries = await stack.simulator.timeline_of(email)
        for occurred_at, event, properties in map(_shown, entries[:TIMELINE_ROWS]):
            amounts = (_dollars(properties.get(name)) for name in ("amount_cents", "new_balance_cents"))
            table.add_row(f"{datetime.fromisoformat(occurred_at):%Y-%m-%d %H:%M:%S}", event, *amounts)
        if len(entries) > TIMELINE_ROWS:
            table.caption = f"and {len(entries) - TIMELINE_ROWS} more"
        self._console.print(table)

    async def _keep(self, stack: Stack, services: Sequence[Service], shown: Service) -> None:
        """Say where everything is, and run on."""
        self._show_addresses(stack, services, shown)
        contact = (await Ledger.read(stack.direct_url)).busiest_contact()
        self._look_at(
            (f"{shown.url}/dead-letters", "the poisoned event: why it is there; correct and redrive it"),
            (f"{shown.url}/contacts?q={quote(contact)}", "what happened to one contact, step by step"),
            (stack.simulator.url, "HubSpot, as the simulator has it: let it fail again, and watch the overview"),
        )
        if self._opens and not _open(shown.url):
            self.say(f"no browser could be opened here: go to {shown.url}")
        await asyncio.Event().wait()

    def _show_addresses(self, stack: Stack, services: Sequence[Service], shown: Service) -> None:
        self._console.print("\nStill running, until Ctrl-C:")
        self._console.print(f"  [bold]console: {shown.url}[/], where this token signs in an operator:")
        self._console.print(f"    {stack.environment['CONSOLE_OPERATOR_TOKEN']}", soft_wrap=True)
        for service in services:
            self._console.print(f"  {service.name}: {service.url}/v1/health, {service.url}/metrics")
        self._console.print(f"  consumer's status: {services[1].url}/v1/status")
        for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
            self._console.print(f"  {name}={stack.environment[name]}", soft_wrap=True)

    def _look_at(self, *things: tuple[str, str]) -> None:
        self._console.print("\n[bold]Three things to look at:[/]")
        for number, (where, what) in enumerate(things, 1):
            self._console.print(f"  {number}. [bold cyan]{where}[/]\n     {what}", soft_wrap=True)


async def _summary(stack: Stack) -> Summary:
    return Summary.of(
        await Ledger.read(stack.direct_url),
        await stack.simulator.accepted(),
        await read_dead_letters(stack.kafka.bootstrap_servers, Topics().dead_letters),
        await stack.simulator.statistics(),
    )


def _open(url: str) -> bool:
    """Open *url* in a browser, and return whether there is one. One that needs this terminal is not opened."""
    if sys.platform != "darwin" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # Some last until the window is closed, for which the end of the demo does not wait.
    Thread(target=browser.open, args=(url,), daemon=True).start()
    return True


def _shown(entry: Mapping[str, Any]) -> tuple[str, str, Mapping[str, str]]:
    """Return the time, name and properties of an entry's event; the entry is a custom event or a note."""
    if entry["kind"] == "event":
        return entry["occurredAt"], entry["eventName"].partition("nerava_")[2], entry["properties"]
    title, *lines = unescape(entry["body"]).split("<br>")
    properties = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return entry["timestamp"], title.removeprefix("<b>").removesuffix("</b>").replace(" ", "_"), properties


def _dollars(cents: str | None) -> str:
    return f"{int(float(cents)) / 100:,.2f}" if cents else ""
