"""Runs the unit tests on every supported Python version that this machine has."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = ROOT / ".venv" / "bin" / "uv"
# The versions of `requires-python`; a test compares the two.
PROMISED: Final = ("3.11", "3.12", "3.13", "3.14")


def found() -> Mapping[str, Path | None]:
    """Return an interpreter of each supported version, from the PATH or from pyenv; None for one not found."""
    return {version: next((one for one in _candidates(version) if _is(one, version)), None) for version in PROMISED}


def passes(version: str, interpreter: Path) -> bool:
    """Run the unit tests with *interpreter*, in its own environment made from uv.lock; return whether they pass."""
    environment = ROOT / f".venv-{version}"
    sync = [str(UV), "sync", "--frozen", "--quiet", "--python", str(interpreter)]
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment)}
    subprocess.run(sync, cwd=ROOT, env=variables, check=True)  # noqa: S603 - our own
    tests = [str(environment / "bin" / "pytest"), "--numprocesses", "auto", "--quiet", "tests/unit"]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0  # noqa: S603 - our own


def _candidates(version: str) -> Iterator[Path]:
    if there := shutil.which(f"python{version}"):
        yield Path(there)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)


def _is(interpreter: Path, version: str) -> bool:
    # The shim that pyenv puts on the PATH fails for a version that is not selected.
    said = subprocess.run([str(interpreter), "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - a Python
    return said.stdout.startswith(f"Python {version}.")
