"""Builds the wheel that a backend installs: `producer` with `track_event`, and the contract inside it.

A backend may have its own top-level package `schemas`. So the modules of the contract that tracking needs become
`producer.contract`, and their imports are rewritten during the build; the checkout has only one copy.
"""

import re
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTRACT: Final = ("__init__", "contacts", "envelope", "events", "times")
IMPORTS: Final = re.compile(r"^(\s*)from schemas\b", re.MULTILINE)
FILES: Final = {
    "producer/__init__.py": "producer/__init__.py",
    "producer/autogenerate.py": "producer/autogenerate.py",
    "producer/tracking.py": "producer/tracking.py",
    "producer/py.typed": "producer/py.typed",
    **{f"schemas/{name}.py": f"producer/contract/{name}.py" for name in CONTRACT},
}


class BackendWheel(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self.target_name != "wheel":
            return
        # The folder must exist until the build ends: it is deleted when this hook object is.
        self.written = tempfile.TemporaryDirectory(prefix="backend-wheel-")
        for source, name in FILES.items():
            written = Path(self.written.name) / name
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(IMPORTS.sub(r"\1from producer.contract", (Path(self.root) / source).read_text()))
            build_data["force_include"][str(written)] = name
