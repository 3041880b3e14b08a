"""The consumer with a mapping that fails for one session: `python -m tests.broken_mapping worker`."""

from collections.abc import Mapping

from hubspot_consumer.__main__ import commands
from hubspot_consumer.mapping import MAPPINGS
from schemas.envelope import Totals
from schemas.events import NovaEarned

BAD_SESSION = "ses_bad"
_right = MAPPINGS[NovaEarned]


def _earned(event: NovaEarned, totals: Totals) -> Mapping[str, str | None]:
    if event.session_id == BAD_SESSION:
        raise RuntimeError("of ada@example.com")
    return _right(event, totals)


MAPPINGS[NovaEarned] = _earned


if __name__ == "__main__":
    commands(prog_name="python -m hubspot_consumer")
