"""The headers that a dead letter has in addition to those of its record."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

PREFIX: Final = "dead_letter."
# The largest record of the topic: one that was too large for its own topic, with these headers.
LARGEST_DEAD_LETTER: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class DeadLetter:
    """Why and where a record became a dead letter. `partition` and `offset` are -1 if it never was a record."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    attempts: int
    failed_at: datetime

    def headers(self, original: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Return the record's own headers and these, which replace those of an earlier dead letter."""
        # The fields have the names of the headers, in their order.
        own = vars(self) | {"failed_at": self.failed_at.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        kept = [(name, value) for name, value in original if not name.startswith(PREFIX)]
        # A text that can't be encoded must not prevent an event from becoming a dead letter.
        return kept + [(PREFIX + name, str(value).encode(errors="replace")) for name, value in own.items()]
