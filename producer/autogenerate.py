"""For a backend that uses alembic: `revision --autogenerate` leaves the tables of the outbox alone.

In its env.py: `context.configure(…, include_object=include_object)`.
"""

from typing import Any, Final

TABLES: Final = frozenset(
    {
        "outbox_alembic_version",
        "outbox_contacts",
        "outbox_directory",
        "outbox_events",
        "outbox_idempotency_keys",
        "outbox_imports",
        "outbox_parked",
        "outbox_published",
    }
)
"""The tables that `python -m producer migrate` creates."""


def include_object(_object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:  # noqa: FBT001 - alembic's signature
    """Return whether alembic may compare an object: not a table of the outbox, unless the backend's models have it."""
    return not (type_ == "table" and name in TABLES and reflected and compare_to is None)
