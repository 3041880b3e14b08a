"""Puts the services' packages into their wheel: those that are here, for an image copies only its service's own."""

from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES: Final = ("schemas", "runtime", "producer", "hubspot_consumer", "console")


class ServicesWheel(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        here = Path(self.root)
        # In a source distribution they are beside this file, in a checkout one folder up.
        folder = here if (here / "schemas").exists() else here.parent
        present = [package for package in PACKAGES if (folder / package).exists()]
        build_data["force_include"] |= {str(folder / package): package for package in present}
