"""The settings reference, the sample environment and the chart's schema, generated from the settings classes."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from console.settings import Settings as ConsoleSettings
from hubspot_consumer.doctor.environment import DoctorSettings
from producer.settings import Settings as ProducerSettings
from runtime.kafka.connection import KafkaConnection
from runtime.settings import ServiceSettings, is_secret
from upkeep.chart_schema import chart_schema

ROOT: Final = Path(__file__).parent.parent
CHART_SCHEMA: Final = "deploy/helm/nerava-lifecycle/values.schema.json"
WIDTH: Final = 100

INTRODUCTION: Final = """\
# Settings

`make settings` generates this page from the code; `make check` fails if it is stale.

Settings are environment variables. They are read once, when a command starts, and an empty one counts as not set. Each
wrong or missing setting is one line that names it; the exit code is 2. The doctor,
`python -m hubspot_consumer doctor`, also asks HubSpot, Kafka and PostgreSQL whether the settings are right.

[.env.example](../.env.example) has all settings, for a shell or for containers: `cp .env.example .env`, change it, then
`set -a; . ./.env; set +a`.

A **secret** may be in a file instead, as Docker and Kubernetes mount it: the variable with `_FILE` behind its name
has the path. Set only one of the two. Files are read when a command starts. The file of the HubSpot token is also read
when HubSpot refuses the token, and Kafka's are for new connections ([kafka-connection.md](kafka-connection.md)): a
rotation needs no restart. No command shows a secret, and log lines mask it.
"""


@dataclass(frozen=True)
class Section:
    """A group of settings."""

    title: str
    about: str
    fields: Mapping[str, FieldInfo]


def sections() -> list[Section]:
    """Return every setting of the services, each once."""
    common = {**KafkaConnection.model_fields, **ServiceSettings.model_fields}
    return [
        Section(
            "All services",
            "All commands need Kafka, except the producer's `migrate`, `import-outbox` and `debezium-config`, and a"
            " consumer that is disabled.",
            common,
        ),
        Section(
            "The producer", "`migrate` and `import-outbox` need only `DATABASE_URL`.", _own(ProducerSettings, common)
        ),
        Section(
            "The consumer",
            "`HUBSPOT_SEND_LIVE=true` without `HUBSPOT_ENABLED=true`, a token and a portal is refused."
            " The doctor checks the outbox if `DATABASE_URL` is set.",
            _own(DoctorSettings, common | ProducerSettings.model_fields),
        ),
        Section(
            "The console",
            "The console needs one way to sign in: a token, or a proxy's header. With `DATABASE_URL` it shows the"
            " outbox too. The commands that it runs read the consumer's settings from the same environment.",
            _own(ConsoleSettings, common | ProducerSettings.model_fields),
        ),
    ]


def reference() -> str:
    """Return the text of docs/settings.md."""
    return "\n".join([INTRODUCTION, *(line for section in sections() for line in _table(section))])


def sample_environment() -> str:
    """Return the text of .env.example: a dry run with servers on this machine, with every default as a comment."""
    lines = [
        "# Every setting: see docs/settings.md. A line with a # shows a default. This file is a dry run,",
        "# beside a Kafka and a PostgreSQL on this machine. Secrets are better in files, which *_FILE names.",
    ]
    for section in sections():
        lines += ["", f"# --- {section.title} ---"]
        for name, field in section.fields.items():
            lines += ["", *textwrap.wrap(_about(field), WIDTH, initial_indent="# ", subsequent_indent="#   ")]
            lines += _assignments(name, field)
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Return the texts of the generated files by path."""
    return {
        ROOT / "docs" / "settings.md": reference(),
        ROOT / ".env.example": sample_environment(),
        ROOT / CHART_SCHEMA: chart_schema((ROOT / CHART_SCHEMA).read_text()),
    }


def stale() -> dict[Path, str]:
    """Return the generated files that are missing or out of date, with their new texts."""
    return {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}


# The values that a developer starts with; the other settings keep their defaults.
SAMPLES: Final = {
    "database_url": "postgresql://postgres@localhost:5432/postgres",
    "kafka_bootstrap_servers": "localhost:9092",
    "hubspot_enabled": "true",
}


def _own(kind: type[BaseModel], common: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    return {name: field for name, field in kind.model_fields.items() if name not in common}


def _table(section: Section) -> Iterator[str]:
    yield from (
        f"## {section.title}",
        "",
        section.about,
        "",
        "| variable | default | values | meaning |",
        "|---|---|---|---|",
    )
    for name, field in section.fields.items():
        variable = f"`{name.upper()}`" + (f", `{name.upper()}_FILE`" if is_secret(field) else "")
        default = f"`{_default(field)}`" if _default(field) else ""
        yield f"| {variable} | {default} | {values(field)} | {_about(field)} |"
    yield ""


def _assignments(name: str, field: FieldInfo) -> Iterator[str]:
    sample = SAMPLES.get(name)
    yield f"{name.upper()}={sample}" if sample else f"#{name.upper()}={_default(field)}"
    if is_secret(field):
        yield f"#{name.upper()}_FILE="


def values(field: FieldInfo) -> str:
    """Return a description of a setting's possible values."""
    if is_secret(field):
        return "a secret"
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    if kind in (int, float):
        return _range(field, "a whole number" if kind is int else "a number")
    return ""


def _range(field: FieldInfo, kind: str) -> str:
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    above = next((bound.gt for bound in field.metadata if isinstance(bound, Gt)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    words = [kind]
    if above is not None:
        words.append(f"above {above:,}")
    if least is not None:
        words.append(f"from {least:,}")
    if most is not None:
        words.append(f"to {most:,}")
    return " ".join(words)


def _default(field: FieldInfo) -> str:
    default = field.get_default()
    if field.is_required() or default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def _about(field: FieldInfo) -> str:
    return field.description or ""


def _without_none(kind: Any) -> Any:
    kinds = [one for one in get_args(kind) if one is not type(None)]
    return kinds[0] if len(kinds) == 1 and get_origin(kind) is not Literal else kind
