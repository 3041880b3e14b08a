"""A Docker engine with its compose plugin: the one that answers, or Debian's, for as long as it is needed."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STARTS_WITHIN_S: Final = 60
INSTALLS_WITHIN_S: Final = 600
PLUGINS: Final = Path.home() / ".docker" / "cli-plugins"
# Debian 12 has an engine, but no compose plugin. The plugin of Debian 13 runs on both.
PLUGIN_OF: Final = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
# Debian's packages ask this program whether they may start their services: ours is started here, and ends here.
POLICY: Final = Path("/usr/sbin/policy-rc.d")


class EngineUnavailable(RuntimeError):
    """No engine answers, and none can be installed or started here; the message says why."""


@contextmanager
def running_engine() -> Iterator[bool]:
    """Provide an engine, and say whether it was started here: then it is stopped at the end, with its containers."""
    if answers():
        _need_compose()
        yield False
        return
    with _no_service_starts():
        need("dockerd", "docker.io")
        need("docker", "docker-cli")
    with _started():
        _need_compose()
        yield True


def answers() -> bool:
    return succeeds("docker", "info")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    if os.geteuid() != 0 or POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


@contextmanager
def _started() -> Iterator[None]:
    with tempfile.TemporaryFile("w+") as log:
        # In a session of its own: Ctrl-C ends what uses it first.
        engine = subprocess.Popen(["dockerd"], stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + STARTS_WITHIN_S
            while not answers():
                if engine.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise EngineUnavailable(f"dockerd does not start: {log.read().strip().rpartition(chr(10))[2]}")
                time.sleep(0.2)
            yield
        finally:
            engine.terminate()
            engine.wait()


def _need_compose() -> None:
    if succeeds("docker", "compose", "version"):
        return
    _refuse_elsewhere("Docker's compose plugin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "debian.sources").write_text(PLUGIN_OF)
        (folder / "lists" / "partial").mkdir(parents=True)
        # Of lists of its own, so that nothing else of this machine comes from Debian 13.
        options = [
            word
            for option in (
                f"Dir::Etc::sourcelist={folder}/debian.sources",
                "Dir::Etc::sourceparts=-",
                f"Dir::State::lists={folder}/lists",
                "Dir::Cache::pkgcache=",
                "Dir::Cache::srcpkgcache=",
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=0",
                "APT::Sandbox::User=root",
            )
            for word in ("-o", option)
        ]
        run("apt-get", *options, "update", folder=folder)
        run("apt-get", *options, "download", "docker-compose", folder=folder)
        run("dpkg-deb", "--extract", *map(str, folder.glob("*.deb")), "unpacked", folder=folder)
        PLUGINS.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / "unpacked/usr/libexec/docker/cli-plugins/docker-compose", PLUGINS)


def need(program: str, package: str) -> None:
    """Install Debian's *package* where *program* is missing. Raises EngineUnavailable."""
    if shutil.which(program) is None:
        _refuse_elsewhere(program)
        run("apt-get", "update")
        run("apt-get", "install", "--yes", "--no-install-recommends", package, DEBIAN_FRONTEND="noninteractive")


def _refuse_elsewhere(what: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineUnavailable(f"{what} is missing, and is installed only where this runs as root on Debian")


def succeeds(*command: str, within_s: float = STARTS_WITHIN_S) -> bool:
    with suppress(FileNotFoundError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, check=False, timeout=within_s).returncode == 0
    return False


def run(*command: str, folder: Path | None = None, **variables: str) -> None:
    """Run a command to its end. Raises EngineUnavailable if it fails."""
    environment: Mapping[str, str] = os.environ | variables
    what = f"`{' '.join(command[:2])} … {command[-1]}`"
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=INSTALLS_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        raise EngineUnavailable(f"{what} did not end within {INSTALLS_WITHIN_S} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
        raise EngineUnavailable(f"{what} failed: {said}")
