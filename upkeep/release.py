"""A release: its version in each file that has one, and a heading for its part of the changelog."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from packaging.version import Version

CHANGELOG: Final = "CHANGELOG.md"
UNRELEASED: Final = "## Unreleased\n"
_PROJECT: Final = r'(?m)^(version = ")([^"]+)(")$'
# The pattern of the version in each file, and how often it is there.
VERSIONED: Final[Mapping[str, tuple[str, int]]] = {
    "pyproject.toml": (_PROJECT, 1),
    "docker/pyproject.toml": (_PROJECT, 1),
    # Of the Helm chart, and of the images that it names.
    "deploy/helm/nerava-lifecycle/Chart.yaml": (r'(?m)^((?:version|appVersion): "?)([^"\n]+)("?)$', 2),
    # Both distributions are in the lock file, which is edited so that no library changes with the version.
    "uv.lock": (r'(?m)^(name = "nerava-lifecycle(?:-services)?"\nversion = ")([^"]+)(")$', 2),
}


class NotReleasable(Exception):
    """The version can't be released from these files; the message says why."""


def released(root: Path, version: str, on: date) -> dict[Path, str]:
    """Return the new text of each file for the release of *version*, and write nothing. Raises NotReleasable."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise NotReleasable(f"{version}: should be a version such as 1.2.3")
    texts = {root / name: _versioned(root / name, *VERSIONED[name], version) for name in VERSIONED}
    return {root / CHANGELOG: _cut((root / CHANGELOG).read_text(), version, on), **texts}


def _versioned(path: Path, pattern: str, times: int, version: str) -> str:
    text = path.read_text()
    before = [found[1] for found in re.findall(pattern, text)]
    if len(before) != times:
        raise NotReleasable(f"{path}: has {len(before)} of our versions, and should have {times}")
    if Version(version) < max(map(Version, before)):
        raise NotReleasable(f"{version}: is older than {before[0]} in {path}")
    return re.sub(pattern, rf"\g<1>{version}\g<3>", text)


def _cut(changelog: str, version: str, on: date) -> str:
    """Return the changelog with its unreleased part under the heading of *version*, and a new one that is empty."""
    before, unreleased, after = changelog.partition(UNRELEASED)
    if re.search(rf"(?m)^## {re.escape(version)}\b", after):
        raise NotReleasable(f"{CHANGELOG}: has a part for {version} already")
    if not unreleased or not after.split("\n## ")[0].strip():
        raise NotReleasable(f"{CHANGELOG}: has nothing under Unreleased")
    return f"{before}{unreleased}\n## {version} - {on.isoformat()}\n{after}"
