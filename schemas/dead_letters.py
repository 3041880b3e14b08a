"""The headers that a dead letter carries beside those of its record."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

PREFIX: Final = "dead_letter."
# What the topic takes: a record that its own topic found too large, and these headers.
LARGEST_DEAD_LETTER: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class DeadLetter:
    """Why and where a record was set aside; `partition` and `offset` are -1 for what never was a record."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    attempts: int
    failed_at: datetime

    def headers(self, original: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Return the record's own headers and ours; those of an earlier life as a dead letter are replaced."""
        own = [
            ("reason", self.reason),
            ("detail", self.detail),
            ("topic", self.topic),
            ("partition", str(self.partition)),
            ("offset", str(self.offset)),
            ("attempts", str(self.attempts)),
            ("failed_at", self.failed_at.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        ]
        kept = [(name, value) for name, value in original if not name.startswith(PREFIX)]
        # The last resort of an event never fails for its words.
        return kept + [(PREFIX + name, value.encode(errors="replace")) for name, value in own]
