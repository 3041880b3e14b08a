"""The run's reader of the topic of holds: other runs, another process with the same run, and the workers' answers."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from hubspot_consumer.holds.records import HoldAnswered, HoldBegun, Released, RunEnded, read_hold_record
from runtime.endings import CannotGoOn


class TakenOver(CannotGoOn):
    """Another process continues the same run, so this process has no holds any more."""

    def __init__(self) -> None:
        super().__init__("another process continues this run, so this one must not write any more")


@dataclass(frozen=True)
class OtherRun:
    """A run that announced itself: the time of its last record, and the seconds for which that keeps it active."""

    command: str
    heard_at_s: float
    for_s: float


@dataclass(eq=False)
class Answers:
    """The partitions for which no worker has answered a hold yet; *complete* is set when there are none."""

    missing: set[int]
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.take(())

    def take(self, numbers: Collection[int]) -> None:
        self.missing.difference_update(numbers)
        if not self.missing:
            self.complete.set()


class HoldListener:
    """Processes the topic's records for *run*."""

    def __init__(self, run: str) -> None:
        self._run: Final = run
        self._runs: dict[str, OtherRun] = {}
        self._answers: dict[int, Answers] = {}
        self._announcement: int | None = None
        self._announced = False
        self._active_before: dict[str, OtherRun] = {}
        self.highest_number = 0
        self.taken_over = False

    @property
    def was_active(self) -> bool:
        """Whether the topic shows an earlier process of the same run that did not end it."""
        return self._run in self._runs

    @property
    def other_run(self) -> OtherRun | None:
        """A run that was active when this one announced itself, in the order of the topic; None if there was none."""
        return next(iter(self._active_before.values()), None)

    def announce(self, number: int) -> None:
        """Treat the hold with that number as the announcement of this run."""
        self._announcement = number

    def ask(self, number: int, partitions: Collection[int]) -> Answers:
        """Return the object that collects the answers to a hold, until `forget`."""
        return self._answers.setdefault(number, Answers(set(partitions)))

    def forget(self, number: int) -> None:
        self._answers.pop(number, None)

    def take_in(self, record: Any) -> None:
        """Process one of aiokafka's records; an unreadable one is skipped."""
        match entry := read_hold_record(record.value):
            case HoldBegun():
                self._begin(entry, record.timestamp / 1000)
            case HoldAnswered():
                if entry.run == self._run and (answers := self._answers.get(entry.number)) is not None:
                    answers.take(entry.partitions)
            case RunEnded():
                self._runs.pop(entry.run, None)
                self._active_before.pop(entry.run, None)
                # This process ends the run only before its announcement. A later end comes from its successor.
                self.taken_over |= entry.run == self._run and self._announced
            case Released() | None:
                pass
            case _:
                assert_never(entry)

    def _begin(self, hold: HoldBegun, at_s: float) -> None:
        if hold.run == self._run:
            self.highest_number = max(self.highest_number, hold.number)
            if hold.number == self._announcement and not self._announced:
                self._announced = True
                self._active_before = {
                    name: run
                    for name, run in self._runs.items()
                    if name != self._run and at_s < run.heard_at_s + run.for_s
                }
        self._runs[hold.run] = OtherRun(hold.command, at_s, hold.for_s)
