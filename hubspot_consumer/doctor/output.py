"""The output of the findings."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Final

import typer

from hubspot_consumer.doctor.examination import Finding, Level
from schemas.contacts import shortened

_COLOURS: Final[dict[Level, str]] = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
_CODES: Final[dict[Level, int]] = {"ok": 0, "skip": 0, "warn": 1, "fail": 2}
_NAME_WIDTH: Final = 18
# Maximum number of characters of a finding: longer quotations help no reader.
LONGEST: Final = 10_000


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
