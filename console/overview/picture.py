"""The picture: the stages from the outbox to HubSpot with their problems, and one line that says if all is well."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from console.overview.flow import Flow
from console.overview.latency import in_words
from console.overview.problem import Problem, Stage

State = Literal["bad", "warn", "good", "unknown"]

NAMES: Final[dict[Stage, str]] = {
    "outbox": "Outbox",
    "relay": "Relay",
    "kafka": "Kafka",
    "worker": "Workers",
    "hubspot": "HubSpot",
}
IN_WORDS: Final[dict[State, str]] = {
    "bad": "needs help",
    "warn": "needs a look",
    "good": "well",
    "unknown": "not known yet",
}


@dataclass(frozen=True)
class Step:
    """A stage of the picture, as its worst problem makes it look."""

    stage: Stage
    state: State
    problems: Sequence[Problem]

    @property
    def name(self) -> str:
        return NAMES[self.stage]

    @property
    def in_words(self) -> str:
        return IN_WORDS[self.state]


@dataclass(frozen=True)
class Verdict:
    """Whether all is well, in one line. `told` is what is announced when it changes."""

    state: State
    title: str
    words: str = ""
    problem: Problem | None = None

    @property
    def since(self) -> datetime | None:
        return self.problem.since if self.problem else None


def steps(flow: Flow, problems: Sequence[Problem]) -> list[Step]:
    """Return the stages in the order in which an event passes them."""
    found = []
    for stage in get_args(Stage):
        of_stage = [problem for problem in problems if problem.stage == stage]
        state: State = of_stage[0].level if of_stage else "good" if flow.is_complete else "unknown"
        found.append(Step(stage, state, of_stage))
    return found


def verdict(flow: Flow, problems: Sequence[Problem]) -> Verdict:
    """Return the worst problem, or that all is well."""
    if problems:
        worst = problems[0]
        return Verdict(worst.level, worst.title, worst.words, worst)
    if not flow.is_complete:
        return Verdict("unknown", "Not known yet", "The console has just started, and asks its sources.")
    return Verdict("good", "All is well", _usual(flow))


def _usual(flow: Flow) -> str:
    delivered = flow.delivered_per_s or 0.0
    if not delivered:
        return "Nothing waits for long, and nothing is delivered at this moment."
    within = f", half of them within {in_words(flow.latency_p50_s)} of their commit" if flow.latency_p50_s else ""
    return f"{delivered:,.1f} events/s are delivered{within}."
