"""The faults of a schedule: when, what and to whom; each is data, so that a schedule can be told and shortened."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, get_args

WorkerFault = Literal[
    "worker_killed",
    "worker_stopped",
    "worker_suspended",
    "worker_cut_from_kafka",
    "worker_cut_from_hubspot",
    "worker_slow_to_kafka",
    "worker_slow_to_hubspot",
    "worker_clock_jumps",
]
RelayFault = Literal[
    "relay_killed",
    "relay_host_lost",
    "relay_suspended",
    "relay_cut_from_kafka",
    "relay_cut_from_database",
    "relay_clock_jumps",
]
ServerFault = Literal[
    "kafka_fails_over",
    "kafka_loses_answers",
    "kafka_resets_connections",
    "hubspot_refuses_connections",
    "hubspot_loses_answers",
    "hubspot_resets_connections",
    "hubspot_answers_late",
    "hubspot_gives_a_recorded_answer",
    "database_fails_over",
    "database_is_restored",
]
RunFault = Literal[
    "run_suspended",
    "run_slow_to_kafka",
]
OtherFault = Literal[
    "worker_joins",
    "retention_deletes",
    "transaction_ends",
    "partitions_are_slow",
    "sending_is_paused",
    "contact_is_suppressed",
    "contacts_are_resynced",
    "events_are_replayed",
    "timeline_is_lost",
]
FaultKind = WorkerFault | RelayFault | ServerFault | RunFault | OtherFault

KINDS: Final[Sequence[str]] = tuple(
    name for group in (WorkerFault, RelayFault, ServerFault, RunFault, OtherFault) for name in get_args(group)
)


@dataclass(frozen=True)
class Fault:
    """A fault begins *at_s* and lasts *for_s* seconds. *target* and *detail* are chosen among what is there, by
    their remainder, so that a schedule stays valid when other faults are taken out of it.
    """

    at_s: float
    kind: str
    target: int
    for_s: float
    detail: int

    def __str__(self) -> str:
        return f"{self.at_s:7.3f} s  {self.kind} ({self.target}, {self.detail}) for {self.for_s:.3f} s"


def schedule(chance: Random, *, faults: int, within_s: float, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Return *faults* faults of at least three kinds, in the order of time."""
    chosen = chance.sample(kinds, min(len(kinds), max(3, faults)))
    drawn = [chance.choice(chosen) if number >= 3 else chosen[number] for number in range(faults)]
    # Several at once are likely where most begin soon after another one.
    times = [chance.uniform(0, within_s)]
    while len(times) < faults:
        near = chance.random() < 0.5
        times.append(
            min(within_s, chance.choice(times) + chance.expovariate(1.0)) if near else chance.uniform(0, within_s)
        )
    return sorted(
        (
            Fault(
                round(at_s, 3), kind, chance.randrange(1_000), round(_lasts_s(chance), 3), chance.randrange(1_000_000)
            )
            for at_s, kind in zip(times, drawn, strict=True)
        ),
        key=lambda fault: fault.at_s,
    )


def _lasts_s(chance: Random) -> float:
    """Return a duration: shorter than a session of Kafka's group, near to it, or longer."""
    return chance.choice((chance.uniform(0.1, 3), chance.uniform(5, 12), chance.uniform(10, 25)))
