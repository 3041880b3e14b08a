"""The story: what the demo says while it happens, from what each look at the running system sees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.day.dead_letters import SetAside
from sandbox.day.traffic import TIME_FIELDS, Happening


@dataclass(frozen=True)
class Seen:
    """One look: the seconds since the day began, the events committed and arrived since, and what went wrong."""

    at_s: float
    committed: int
    arrived: int
    halted: bool
    dead_letters: Sequence[SetAside]


class Story:
    """Tells of an outage of *outage_s* and of the *poisoned* event, each step once and when it is seen."""

    def __init__(self, poisoned: Happening, outage_s: float) -> None:
        self._poisoned: Final = poisoned
        self._outage_s: Final = outage_s
        self._reason_told = False
        self._halt_told = False
        self._outage_at_s: float | None = None
        self._back: Seen | None = None
        self._caught_up = False

    def begin_outage(self, at_s: float) -> str:
        """Return what is said when HubSpot begins to fail."""
        self._outage_at_s = at_s
        return (
            f"[yellow]HubSpot is down: it answers 503 to every call, for {self._outage_s:g} s.[/]"
            " The backend commits on, since it never waits for HubSpot."
        )

    def tell(self, seen: Seen) -> Iterator[str]:
        """Yield what this look is the first to show."""
        if seen.dead_letters and not self._reason_told:
            self._reason_told = True
            yield self._of_the_poisoned(seen.dead_letters[0])
        if self._outage_at_s is not None and not self._caught_up:
            yield from self._of_the_outage(seen, self._outage_at_s)

    def _of_the_poisoned(self, letter: SetAside) -> str:
        event_type = self._poisoned.event_type
        return (
            f"[yellow]One event is poisoned:[/] a program has called the SQL function itself, and has left out"
            f" {TIME_FIELDS[event_type]} of a {event_type}. It is a dead letter now, with its reason:"
            f" [bold]{letter.reason}: {letter.detail}[/]. No other event waits for it."
        )

    def _of_the_outage(self, seen: Seen, began_at_s: float) -> Iterator[str]:
        if self._back is None:
            if seen.halted and not self._halt_told:
                self._halt_told = True
                yield "The worker has stopped sending. No event is to blame, so none is set aside: they wait on Kafka."
            if seen.at_s - began_at_s >= self._outage_s:
                self._back = seen
                waiting = seen.committed - seen.arrived
                yield f"[green]HubSpot is back.[/] {waiting:,} events have waited; the next trial call finds out."
        elif seen.arrived >= self._back.committed:
            self._caught_up = True
            yield f"[green]All that waited has arrived,[/] {seen.at_s - self._back.at_s:.0f} s after HubSpot was back."
