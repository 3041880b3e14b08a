"""Findings: the results of the checks, and their output."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Final, Literal, NamedTuple

import typer

from schemas.contacts import shortened

Level = Literal["ok", "warn", "fail", "skip"]

_COLOURS: Final[dict[Level, str]] = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
_CODES: Final[dict[Level, int]] = {"ok": 0, "skip": 0, "warn": 1, "fail": 2}
_NAME_WIDTH: Final = 18
# Maximum number of characters of a finding: longer quotations help no reader.
LONGEST: Final = 10_000


class ForKafka:
    """Remedies for findings in Kafka."""

    CONNECT: Final = "check the brokers, KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_* settings"
    GET_WORKERS: Final = "start one: `python -m hubspot_consumer worker`"
    GET_TOPICS: Final = "run `python -m producer topics`"
    GET_SETTINGS: Final = "run `python -m producer topics`: it says what should be otherwise, and prints the commands"
    GET_NO_AUTO_CREATE: Final = (
        "set it to false on the brokers: a program that only asks about a topic of ours creates it, with one "
        "partition and without our settings"
    )
    GET_UNDELIVERED: Final = (
        "they may not have been delivered, unless receipts were off or dropped (`receipts.dropped` in the workers' "
        "log): `audit` shows what HubSpot lacks, and `replay` writes it"
    )
    GET_DEAD_LETTERS: Final = "`python -m hubspot_consumer dead-letters list` shows them, and `show` says what to do"


@dataclass(frozen=True)
class Finding:
    """The result of one check in one line, and the remedy. Names and levels are a public contract."""

    name: str
    level: Level
    what: str
    do: str = ""


class Answer(NamedTuple):
    """The answer of a check: a finding without a name."""

    level: Level
    what: str
    do: str = ""


def ok(what: str) -> Answer:
    return Answer("ok", what)


def warn(what: str, do: str) -> Answer:
    return Answer("warn", what, do)


def fail(what: str, do: str) -> Answer:
    return Answer("fail", what, do)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 if no check warns or fails, 1 if there are warnings, 2 if there are failures."""
    return max((_CODES[finding.level] for finding in findings), default=0)


def without_secrets(findings: Sequence[Finding], secrets: Collection[str]) -> list[Finding]:
    """Return the findings without *secrets* and without whole emails, which quoted texts may contain."""

    def shown(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "…")
        return shortened(text, LONGEST)

    return [replace(finding, what=shown(finding.what), do=shown(finding.do)) for finding in findings]


def as_lines(findings: Sequence[Finding], *, coloured: bool = False) -> str:
    """Return a line for each finding, a line below it with its remedy, and a summary."""
    lines = []
    for finding in findings:
        level = f"{finding.level:<6}"
        level = typer.style(level, fg=_COLOURS[finding.level]) if coloured else level
        lines.append(f"{level}{finding.name:<{_NAME_WIDTH}}{finding.what}")
        if finding.do:
            lines.append(f"{'':<6}{'':<{_NAME_WIDTH}}-> {finding.do}")
    numbers = {level: sum(finding.level == level for finding in findings) for level in _CODES}
    lines.append(", ".join(f"{number} {level}" for level, number in numbers.items() if number))
    return "\n".join(lines)


def as_json_text(findings: Sequence[Finding]) -> str:
    """Return the findings and the exit code as JSON, for programs."""
    return json.dumps(
        {"exit_code": exit_code(findings), "findings": [asdict(finding) for finding in findings]}, indent=2
    )


def duration(seconds: float) -> str:
    """Return *seconds* rounded down in the largest unit of which there are two or more: `12 s`, `7 min`, `3 h`, `5
    days`.
    """
    whole = max(0, int(seconds))
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def count(number: int, thing: str, *, at_most: int | None = None) -> str:
    """Return `1 row`, `12 rows`, or `100,000 rows or more` where the count ended at *at_most*."""
    words = f"{number:,} {thing}{'' if number == 1 else 's'}"
    return f"{words} or more" if at_most is not None and number >= at_most else words


def hours_and_minutes(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    return f"{minutes // 60} h {minutes % 60:02} min"
