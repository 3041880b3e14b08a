"""Puts the services' packages into their distributions: those that are here, for an image copies only its own.

In a checkout, only files that git tracks are taken. A forgotten file beside the sources may be a secret.
"""

import subprocess
from collections.abc import Iterator
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
        build_data["force_include"] |= {str(folder / name): name for name in _files(folder)}


def _files(folder: Path) -> Iterator[str]:
    if (folder / ".git").exists():
        # Without git the build fails, instead of taking whatever is there.
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--", *PACKAGES],  # noqa: S607 - whichever git somebody builds with
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        yield from (name for name in listed.stdout.split("\0") if name and (folder / name).is_file())
        return
    for package in PACKAGES:
        for path in sorted((folder / package).rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in name.parts):
                yield name.as_posix()
