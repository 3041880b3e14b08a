"""Exports: files of contacts, made one after the other, each of the contacts as they were when it was made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, Literal
from uuid import uuid4

from sandbox.hubspot.clock import PortalClock

MOST_A_DAY: Final = 30
DAY: Final = timedelta(hours=24)
LINK_LASTS: Final = timedelta(minutes=5)
_FIRST_ID: Final = 70_001

ExportStatus = Literal["PENDING", "PROCESSING", "COMPLETE"]
Make = Callable[[], tuple[int, bytes]]
"""Makes the file. Returns the number of its rows, and its content."""


@dataclass(slots=True)
class Export:
    """One export. Its file is made when it begins: HubSpot exports a snapshot."""

    id: str
    body: dict[str, Any]
    make: Make
    requested_at: datetime
    begins_at: datetime
    ends_at: datetime
    rows: int = 0
    content: bytes | None = None


@dataclass
class Exports:
    """The exports of the portal. An export begins when the one before it ends."""

    clock: PortalClock
    by_id: dict[str, Export] = field(default_factory=dict)
    _links: dict[str, tuple[Export, datetime]] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(_FIRST_ID))

    def begun_today(self) -> int:
        """Return the number of exports of the last 24 hours."""
        since = self.clock.now() - DAY
        return sum(export.requested_at > since for export in self.by_id.values())

    def add(self, body: dict[str, Any], make: Make, takes_s: float) -> Export:
        now = self.clock.now()
        begins_at = max([now, *(export.ends_at for export in self.by_id.values())])
        ends_at = begins_at + timedelta(seconds=takes_s)
        export = Export(str(next(self._ids)), body, make, now, begins_at, ends_at)
        self.by_id[export.id] = export
        self.status(export)
        return export

    def status(self, export: Export) -> ExportStatus:
        """Return the status of an export, whose file is made if it has begun."""
        now = self.clock.now()
        if now < export.begins_at:
            return "PENDING"
        if export.content is None:
            export.rows, export.content = export.make()
        return "PROCESSING" if now < export.ends_at else "COMPLETE"

    def link(self, export: Export) -> str:
        """Return a new name under which anybody can load the file for five minutes."""
        name = uuid4().hex
        self._links[name] = export, self.clock.now() + LINK_LASTS
        return name

    def linked(self, name: str) -> Export | None:
        export, until = self._links.get(name, (None, None))
        return export if until and self.clock.now() < until else None
