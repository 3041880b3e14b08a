"""The options of the services' long-lived connections to PostgreSQL: they detect a host that is gone without closing
them.
"""

from typing import Any, Final

CONNECT_WITHIN_S: Final = 5


def connection_options(name: str, *, answer_within_s: float) -> dict[str, Any]:
    """Return libpq's parameters: *name* for `pg_stat_activity`, *answer_within_s* to limit unacknowledged data."""
    return {
        "connect_timeout": CONNECT_WITHIN_S,
        "application_name": name,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(answer_within_s * 1000),
    }
