"""A downloaded database of advisories: the zip that OSV publishes for PyPI, with a JSON file for each advisory."""

import json
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

URL: Final = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a version, and the versions that fix it."""

    package: str
    version: str
    name: str
    mended_by: tuple[str, ...]


@dataclass(frozen=True)
class Database:
    """The advisories of a zip, by package. `newest` is when one of them was last changed."""

    newest: str
    _by_package: dict[str, list[dict[str, Any]]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Database":
        """Raises OSError, and ValueError if the file is no such database or is damaged."""
        newest, by_package = "", dict[str, list[dict[str, Any]]]()
        for advisory in _advisories(path):
            newest = max(newest, str(advisory.get("modified", "")))
            for name in {one["package"]["name"] for one in _affected(advisory)}:
                by_package.setdefault(canonicalize_name(name), []).append(advisory)
        return cls(newest[:10], by_package)

    def known(self, package: str, version: str) -> list[Advisory]:
        """Return the advisories of a version. One that several organisations published is there once."""
        found, seen = list[Advisory](), set[str]()
        # PyPA's own come first, whose ids begin with PYSEC.
        for advisory in sorted(self._by_package.get(package, ()), key=lambda one: str(one["id"]), reverse=True):
            names = {advisory["id"], *advisory.get("aliases", ())}
            parts = [one for one in _affected(advisory) if canonicalize_name(one["package"]["name"]) == package]
            if not names & seen and any(_is_affected(version, one) for one in parts):
                seen |= names
                found.append(Advisory(package, version, advisory["id"], tuple(_fixed(parts))))
        return found


def locked(lock: Path) -> list[tuple[str, str]]:
    """Return the name and version of each package in *lock* that comes from an index."""
    packages = tomllib.loads(lock.read_text("utf-8"))["package"]
    return [(one["name"], one["version"]) for one in packages if "registry" in one["source"]]


def _advisories(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    advisory = json.loads(archive.read(name))
                    if not advisory.get("withdrawn"):
                        yield advisory
    except (zipfile.BadZipFile, KeyError, AttributeError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is no database of OSV: {error}") from None


def _affected(advisory: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in advisory.get("affected", ()) if one.get("package", {}).get("ecosystem") == "PyPI"]


def _is_affected(version: str, affected: dict[str, Any]) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = [one for one in affected.get("ranges", ()) if one.get("type") == "ECOSYSTEM"]
    return any(_is_within(Version(version), one["events"]) for one in ranges)


def _is_within(version: Version, events: Iterable[dict[str, str]]) -> bool:
    """Return whether *version* is within a range, as OSV's specification evaluates its events."""
    within = False
    for kind, at in sorted((_order(event) for event in events), key=lambda one: one[1]):
        if kind == "introduced" and version >= at:
            within = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            within = False
    return within


def _order(event: dict[str, str]) -> tuple[str, Version]:
    [(kind, at)] = event.items()
    try:
        return kind, Version(at)
    except InvalidVersion:
        # As in OSV's own evaluation: what is no version comes before all.
        return kind, Version("0")


def _fixed(parts: Iterable[dict[str, Any]]) -> Iterator[str]:
    for part in parts:
        for each in part.get("ranges", ()):
            if each.get("type") == "ECOSYSTEM":
                yield from (event["fixed"] for event in each["events"] if "fixed" in event)
