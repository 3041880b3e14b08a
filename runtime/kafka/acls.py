"""Which program may do what on which topic: the one table of it, and Kafka's commands that grant it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.topics import Topics

EVENTS: Final = "the event topics"
_BESIDE_EVENTS: Final = ("dead_letters", "suppressions", "resolutions", "controls", "deliveries", "holds")
_COMMANDS_READ: Final = (EVENTS, *_BESIDE_EVENTS)


@dataclass(frozen=True)
class Program:
    """What one program may do. Topics are named without the prefix; *group* and *cluster* are Kafka's operations."""

    user: str
    is_for: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    creates_topics: bool = False

    def topics(self, topics: Topics, names: tuple[str, ...]) -> list[str]:
        """Return the whole names of *names*, each one of `reads` or `writes`."""
        return [topic for name in names for topic in (topics.events if name == EVENTS else (topics.of(name),))]

    @property
    def row(self) -> str:
        """The program's row of the table in docs/kafka-acls.md."""
        topics = [", ".join(names) or "none" for names in (self.reads, self.writes)]
        rights = [", ".join(operations) or "none" for operations in (self.group, self.cluster)]
        creates = "yes" if self.creates_topics else "no"
        return f"| `{self.user}` | {self.is_for} | {' | '.join((*topics, creates, *rights))} |"


# Brokers before Kafka 2.8 want IdempotentWrite of every writer. No program uses transactions.
PROGRAMS: Final = (
    Program(
        "nerava-relay",
        "`producer serve`, `producer relay`",
        writes=(EVENTS, "dead_letters"),
        cluster=("IdempotentWrite",),
    ),
    Program(
        "nerava-worker",
        "`hubspot_consumer worker`",
        reads=(EVENTS, "suppressions", "controls", "holds"),
        writes=("dead_letters", "deliveries", "holds"),
        group=("Read", "Describe"),
        cluster=("IdempotentWrite",),
    ),
    Program(
        "nerava-operator",
        "the other commands, such as `producer topics` and `hubspot_consumer replay`",
        reads=_COMMANDS_READ,
        writes=_BESIDE_EVENTS,
        group=("Describe",),
        cluster=("DescribeConfigs", "IdempotentWrite"),
        creates_topics=True,
    ),
    Program(
        "nerava-console",
        "`console serve`, which runs commands too",
        reads=(*_COMMANDS_READ, "actions"),
        writes=(*_BESIDE_EVENTS, "actions"),
        group=("Describe",),
        cluster=("DescribeConfigs", "IdempotentWrite"),
    ),
)


def commands(topics: Topics, group: str, bootstrap_servers: str) -> Iterator[str]:
    """Yield kafka-acls.sh commands that grant each program its rights, and nothing else; lines with # are comments."""
    for program in PROGRAMS:
        add = f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --add --allow-principal User:{program.user}"
        yield f"# {program.is_for.replace('`', '')}"
        for operation, names in (("Read", program.reads), ("Write", program.writes)):
            if names:
                operations = _options("operation", (operation, "Describe", "DescribeConfigs"))
                yield f"{add} {operations} {_options('topic', program.topics(topics, names))}"
        prefixed = "--resource-pattern-type prefixed"
        if program.creates_topics:
            operations = _options("operation", ("Create", "Describe", "DescribeConfigs"))
            yield f"{add} {operations} {prefixed} --topic {topics.prefix}"
        if program.group:
            # A dry run adds to the group's name.
            yield f"{add} {_options('operation', program.group)} {prefixed} --group {group}"
        if program.cluster:
            yield f"{add} {_options('operation', program.cluster)} --cluster"


def _options(option: str, values: tuple[str, ...] | list[str]) -> str:
    return " ".join(f"--{option} {value}" for value in values)
