"""What the sandbox's servers are where the environment names others than the usual ones.

NERAVA_SANDBOX_POSTGRES is a version, NERAVA_SANDBOX_KAFKA a release, and NERAVA_SANDBOX_POOLER the mode of a PgBouncer
before PostgreSQL.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

POSTGRES: Final = {"oldest": "14", "newest": "18"}
KAFKA: Final = {"oldest": "3.3.2", "newest": "4.4.0"}
OF_POSTGRES: Final = "NERAVA_SANDBOX_POSTGRES"
OF_KAFKA: Final = "NERAVA_SANDBOX_KAFKA"
OF_POOLER: Final = "NERAVA_SANDBOX_POOLER"
# The one whose jars the sandbox has always fetched; `compose` has it too.
USUAL_KAFKA: Final = "4.1.0"

Pooler = Literal["direct", "session", "transaction"]
POOLERS: Final[Mapping[str, Pooler]] = {"direct": "direct", "session": "session", "transaction": "transaction"}


def postgres_version() -> int:
    """Return the version of PostgreSQL: 14 to 18."""
    return int(_chosen(OF_POSTGRES, POSTGRES, POSTGRES["newest"]))


def kafka_version() -> str:
    """Return the version of Kafka as Maven Central has it."""
    return _chosen(OF_KAFKA, KAFKA, USUAL_KAFKA)


def pooler() -> Pooler:
    """Return what is between the services and PostgreSQL."""
    return POOLERS[_chosen(OF_POOLER, {}, "direct")]


@dataclass(frozen=True)
class Variant:
    """The versions of one stack, and what is between its services and PostgreSQL."""

    postgres: int = field(default_factory=postgres_version)
    kafka: str = field(default_factory=kafka_version)
    pooler: Pooler = field(default_factory=pooler)


def _chosen(variable: str, names: Mapping[str, str], usual: str) -> str:
    chosen = os.environ.get(variable) or usual
    return names.get(chosen, chosen)
