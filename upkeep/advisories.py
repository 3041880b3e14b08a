"""Advisories: which locked versions have known vulnerabilities, by pip-audit; or that nobody can tell from here.

pip-audit takes a database that does not know a package for one that knows no harm of it. So it is asked first about a
version whose vulnerabilities everybody knows.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
BIN: Final = Path(sys.executable).parent
# Its advisories are of 2019.
KNOWN_TO_BE_VULNERABLE: Final = "urllib3==1.24.1"


class Unreachable(RuntimeError):
    """No database of advisories answers, or what answers is none."""


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of a locked version, and the versions that mend it."""

    package: str
    version: str
    name: str
    mended_by: tuple[str, ...]


def known_advisories(osv_url: str = "") -> tuple[list[Advisory], int]:
    """Return those of the versions in uv.lock, and how many versions were looked up. Raises Unreachable.

    Asks the package index, or another database that speaks OSV at *osv_url*.
    """
    database = ["--vulnerability-service", "osv", "--osv-url", osv_url] if osv_url else []
    with tempfile.TemporaryDirectory(prefix="advisories-") as folder:
        probe, locked = Path(folder) / "probe.txt", Path(folder) / "locked.txt"
        probe.write_text(KNOWN_TO_BE_VULNERABLE)
        found, _ = _ask([*database, "--no-deps", "--requirement", str(probe)])
        if not found:
            raise Unreachable(f"it does not know the vulnerabilities of {KNOWN_TO_BE_VULNERABLE}")
        everything = ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace"]
        export = ["export", "--frozen", *everything, "--quiet", "--output-file", str(locked)]
        subprocess.run([str(BIN / "uv"), *export], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
        return _ask([*database, "--require-hashes", "--requirement", str(locked)])


def _ask(options: Sequence[str]) -> tuple[list[Advisory], int]:
    command = [str(BIN / "pip-audit"), "--disable-pip", "--format", "json", "--progress-spinner", "off", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        # Without an answer it prints a traceback, whose last line says what happened.
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unreachable(f"pip-audit: {said[-1][:200]}") from None
    advisories = [
        Advisory(one["name"], one["version"], known["id"], tuple(known["fix_versions"]))
        for one in told
        for known in one.get("vulns", ())
    ]
    return advisories, sum("skip_reason" not in one for one in told)
