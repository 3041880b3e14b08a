"""A problem: something of the flow that is not as it should be, in words, with what to do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Stage = Literal["outbox", "relay", "kafka", "worker", "hubspot"]
Level = Literal["bad", "warn"]
"""`bad`: events do not arrive, or may not; `warn`: somebody should look."""


@dataclass(frozen=True)
class Problem:
    """One problem at a *stage*. `title` is short and has no changing figures, so that it can be announced once.

    `key` says which problem it is, however its words change. `since` is known if a service tells it.
    """

    key: str
    stage: Stage
    level: Level
    title: str
    words: str
    remedy: str = ""
    link: str = ""
    link_words: str = ""
    since: datetime | None = None
