"""The versions that the sandbox's servers have, unless NERAVA_SANDBOX_POSTGRES and NERAVA_SANDBOX_KAFKA name others."""

import os
from collections.abc import Mapping
from typing import Final

POSTGRES: Final = {"oldest": "14", "newest": "18"}
KAFKA: Final = {"oldest": "3.3.2", "newest": "4.4.0"}
OF_POSTGRES: Final = "NERAVA_SANDBOX_POSTGRES"
OF_KAFKA: Final = "NERAVA_SANDBOX_KAFKA"
# The one whose jars the sandbox has always fetched; `compose` has it too.
USUAL_KAFKA: Final = "4.1.0"


def postgres_version() -> int:
    """Return the version of PostgreSQL: 14 to 18."""
    return int(_chosen(OF_POSTGRES, POSTGRES, POSTGRES["newest"]))


def kafka_version() -> str:
    """Return the version of Kafka as Maven Central has it."""
    return _chosen(OF_KAFKA, KAFKA, USUAL_KAFKA)


def _chosen(variable: str, names: Mapping[str, str], usual: str) -> str:
    chosen = os.environ.get(variable) or usual
    return names.get(chosen, chosen)
