"""Versions of the product: this one, and an earlier commit with an environment of its own, to run beside it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The version that is deployed where this one is not yet, and beside which it is measured.
OLDER: Final = "d09b22c"
_ROOT: Final = Path(__file__).parents[2]


class NoHistory(RuntimeError):
    """The clone lacks the commit, as one of limited depth does."""


@dataclass(frozen=True)
class Version:
    """A version of the product. *python* is the beginning of a command that runs its modules."""

    name: str
    python: Sequence[str]


THIS: Final = Version("this version", (sys.executable,))


def older(folder: Path, commit: str = OLDER) -> Version:
    """Return the version of *commit*, with its files and its locked environment in the empty *folder*.

    Raises NoHistory, and CalledProcessError where its environment can't be made.
    """
    if _run("git", "cat-file", "-e", f"{commit}^{{commit}}", folder=_ROOT).returncode:
        raise NoHistory(f"this clone has no history as far as {commit}")
    archive = folder / "files.tar"
    _run("git", "archive", "--output", str(archive), commit, folder=_ROOT).check_returncode()
    _run("tar", "xf", str(archive), folder=folder).check_returncode()
    uv = shutil.which("uv") or str(_ROOT / ".venv-uv/bin/uv")
    _run(uv, "sync", "--frozen", "--all-extras", "--python", sys.executable, folder=folder).check_returncode()
    return Version(commit, ("env", "-C", str(folder), str(folder / ".venv/bin/python")))


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
