"""Programs that tests build or install from locked sources in other languages, kept between runs, outside the tree."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest

CACHE = platformdirs.user_cache_path("nerava-lifecycle") / "tests"
# Where Go's own instructions put it, which not every shell looks in.
USUAL_PATH = "/usr/local/go/bin"
# Go's first build compiles its standard library too, which on a busy machine takes minutes.
WITHIN_S = 1_200
# What npm and Go say where there is no way to their registries, or Go is too old. Any other failure is ours.
UNAVAILABLE = (
    "ENOTFOUND",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "EAI_AGAIN",
    "dial tcp",
    "i/o timeout",
    "requires go",
)


def toolchain(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=USUAL_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def cached(name: str, sources: Sequence[Path]) -> Path:
    """Return a folder of the cache with these files in it; other content makes another folder."""
    folder = CACHE / f"{name}-{hashlib.sha256(b''.join(map(Path.read_bytes, sources))).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(source, folder)
    return folder


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let other processes wait, instead of fetching the same into the same folder."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(command: Sequence[str], folder: Path) -> str:
    """Run what asks a registry, and return what it prints; skip the test where there is no way to it."""
    return succeed(command, folder, unless=lambda errors: any(word in errors for word in UNAVAILABLE))


def succeed(command: Sequence[str], folder: Path, unless: Callable[[str], bool] = lambda _: False) -> str:
    # Without C, of which Go's resolver would need a compiler; and with the Go that is there.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    if done.returncode and unless(done.stderr):
        pytest.skip(f"{' '.join(command)} can't have what the test needs: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
