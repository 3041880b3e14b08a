"""Unwritable properties: the portal rejects them, so no write has them, and the other properties are written."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from hubspot_consumer.hubspot.outcomes import Halt
from hubspot_consumer.hubspot.schema import SEQUENCE
from runtime.logs import log
from schemas.contacts import ContactKey

# Without it the last applied sequence is lost, and a restart could overwrite contacts with older values.
INDISPENSABLE: Final = SEQUENCE
# One contact's value may be wrong; the same property of so many contacts in a row has another type in the portal.
MOST_MISTYPED: Final = 10


class UnwritableProperties:
    """The names of unwritable properties, each logged once, until `try_again` clears them."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.kept_names: set[str] = set()
        self._mistyped: defaultdict[str, set[ContactKey]] = defaultdict(set)

    def mistyped(self, names: Collection[str], contact: ContactKey) -> frozenset[str]:
        """Count a *contact* whose values of *names* were refused; return the names whose type has changed by that."""
        for name in names:
            self._mistyped[name].add(contact)
        return frozenset(name for name in names if len(self._mistyped[name]) >= MOST_MISTYPED)

    def taken(self, names: Collection[str]) -> None:
        """Forget whose values of *names* were refused: HubSpot has taken a value of each."""
        for name in self._mistyped.keys() & names:
            del self._mistyped[name]

    def leave_out(self, names: Collection[str]) -> Halt | None:
        """Add the properties that the portal rejected; if INDISPENSABLE is one of them, return a halt instead."""
        if INDISPENSABLE in names:
            return Halt(
                "portal_not_provisioned",
                f"the portal does not take the property {INDISPENSABLE}: run `provision --apply`",
            )
        for name in sorted(set(names) - self.names):
            log.error(
                "property.left_out", property=name, do="run `provision`, then `replay` to write what was left out"
            )
            self.names.add(name)
        return None

    def kept(self, names: Collection[str]) -> None:
        """Log, once for each property, that HubSpot accepted its value without an error and did not store it."""
        for name in sorted(set(names) - self.kept_names):
            log.error("property.value_kept", property=name, why="HubSpot answers with another value than it was given")
            self.kept_names.add(name)

    def without(self, properties: Mapping[str, str]) -> Mapping[str, str]:
        """Return *properties* without the unwritable ones."""
        if not self.names:
            return properties
        return {name: value for name, value in properties.items() if name not in self.names}

    def try_again(self) -> None:
        """Clear all names, because the portal may have been repaired."""
        self.names.clear()
        self._mistyped.clear()
        self.kept_names.clear()
