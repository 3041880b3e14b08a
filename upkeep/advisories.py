"""Advisories: looks up known vulnerabilities of the locked versions with pip-audit.

pip-audit can't tell a database that lacks a package from one without advisories for it. So a version with well-known
vulnerabilities is looked up first.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from upkeep.osv import Advisory, Database, locked

ROOT: Final = Path(__file__).parent.parent
BIN: Final = Path(sys.executable).parent
# Its advisories have been published since 2019, so every database must have them.
KNOWN_TO_BE_VULNERABLE: Final = "urllib3==1.24.1"


class Unreachable(RuntimeError):
    """No database of advisories answers, or the answer is not from one."""


def known_advisories(osv_url: str = "") -> tuple[list[Advisory], int]:
    """Return the advisories of the versions in uv.lock, and the number of versions looked up. Raises Unreachable.

    The database is that of the package index, or one with the OSV API at *osv_url*.
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


def downloaded_advisories(path: Path) -> tuple[list[Advisory], int, str]:
    """Return the same from a downloaded zip of OSV, without a network, and the day of the zip's newest advisory.

    Raises Unreachable if it can't be read, or does not know what every database does.
    """
    try:
        database = Database.read(path)
        known = database.known(*KNOWN_TO_BE_VULNERABLE.split("=="))
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path}: {error}") from None
    if not known:
        raise Unreachable(f"{path} does not know the vulnerabilities of {KNOWN_TO_BE_VULNERABLE}")
    versions = locked(ROOT / "uv.lock")
    found = [advisory for package, version in versions for advisory in database.known(package, version)]
    return found, len(versions), database.newest


def _ask(options: Sequence[str]) -> tuple[list[Advisory], int]:
    command = [str(BIN / "pip-audit"), "--disable-pip", "--format", "json", "--progress-spinner", "off", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        # Without an answer, pip-audit prints a traceback, whose last line has the reason.
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unreachable(f"pip-audit: {said[-1][:200]}") from None
    advisories = [
        Advisory(one["name"], one["version"], known["id"], tuple(known["fix_versions"]))
        for one in told
        for known in one.get("vulns", ())
    ]
    return advisories, sum("skip_reason" not in one for one in told)
