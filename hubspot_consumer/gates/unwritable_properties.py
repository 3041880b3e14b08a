"""Omissions: properties that the portal does not take, left out of every write rather than failing every contact."""

from collections.abc import Collection, Mapping
from typing import Final

from hubspot_consumer.hubspot.outcomes import Halt
from runtime.logs import logger

log = logger()

# Without it nobody can tell what was applied, and a restart could move contacts backwards.
INDISPENSABLE: Final = "nerava_event_sequence"


class UnwritableProperties:
    """What is left out is told once, and tried again when `try_again` says so."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.kept_names: set[str] = set()

    def leave_out(self, names: Collection[str]) -> Halt | None:
        """Leave out what of ours the portal refused; return why nothing can be sent if that is indispensable."""
        if INDISPENSABLE in names:
            words = f"the portal does not take the property {INDISPENSABLE}: run `provision --apply`"
            return Halt("portal_not_provisioned", words)
        for name in sorted(set(names) - self.names):
            log.error(
                "property.left_out", property=name, do="run `provision`, then `replay` to write what was left out"
            )
            self.names.add(name)
        return None

    def kept(self, names: Collection[str]) -> None:
        """Tell once of properties whose values HubSpot took without an error and did not keep."""
        for name in sorted(set(names) - self.kept_names):
            log.error("property.value_kept", property=name, why="HubSpot answers with another value than it was given")
            self.kept_names.add(name)

    def without(self, properties: Mapping[str, str]) -> Mapping[str, str]:
        """Return *properties* without those that are left out."""
        if not self.names:
            return properties
        return {name: value for name, value in properties.items() if name not in self.names}

    def try_again(self) -> None:
        """Write everything again: somebody may have mended the portal."""
        self.names.clear()
        self.kept_names.clear()
