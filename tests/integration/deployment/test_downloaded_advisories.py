"""`make audit` with a downloaded database: no network, and a file that can't be believed is no answer."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from upkeep.__main__ import commands
from upkeep.advisories import ROOT
from upkeep.osv import Database, locked

Document = dict[str, Any]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a database that is here needs no other program")

    monkeypatch.setattr("upkeep.advisories.subprocess.run", refused)


def advisory(name: str, package: str, *events: Document, **more: Any) -> Document:
    affected = {
        "package": {"name": package, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {"id": name, "modified": "2026-11-28T01:02:03Z", "affected": [affected], **more}


ALWAYS = ({"introduced": "0"},)
PROBE = advisory("PYSEC-2019-132", "urllib3", {"introduced": "0"}, {"fixed": "1.24.2"})


def zip_of(folder: Path, *advisories: Document) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for each in advisories:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def audited(path: Path, *options: str) -> Any:
    return CliRunner().invoke(commands, ["advisories", str(path), *options])


def test_a_vulnerable_version_is_named_once_with_what_fixes_it(tmp_path: Path) -> None:
    known = (
        advisory("GHSA-1", "PyJWT_is_none_of_ours", *ALWAYS),
        advisory("GHSA-2", "psycopg", {"introduced": "3.0"}, {"fixed": "999.1"}, aliases=["PYSEC-2", "CVE-2"]),
        advisory("PYSEC-2", "Psycopg", {"introduced": "3.0"}, {"fixed": "999.1"}, aliases=["GHSA-2", "CVE-2"]),
        advisory("PYSEC-3", "psycopg", *ALWAYS, withdrawn="2026-01-01T00:00:00Z"),
    )

    done = audited(zip_of(tmp_path, PROBE, *known))

    assert done.exit_code == 1
    [line] = done.stdout.splitlines()
    assert line.startswith("psycopg ")
    assert line.endswith(": PYSEC-2, fixed by 999.1")
    assert (
        f"1 known vulnerabilities in {len(locked(ROOT / 'uv.lock'))} locked versions, as of 2026-11-28" in done.stderr
    )


def test_a_database_that_knows_nothing_of_ours_is_success(tmp_path: Path) -> None:
    done = audited(zip_of(tmp_path, PROBE))

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("no known vulnerability in ")
    assert "as of 2026-11-28" in done.stdout


@pytest.mark.parametrize("octets", [None, b"", b"<html>not found</html>", b"PK\x05\x06" + b"\0" * 18, "cut"])
@pytest.mark.parametrize(("options", "code"), [([], 3), (["--where-reachable"], 0)])
def test_a_file_that_is_no_such_database_or_not_all_of_it_is_no_answer(
    tmp_path: Path, octets: bytes | str | None, options: list[str], code: int
) -> None:
    path = zip_of(tmp_path, PROBE)
    if octets is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:200] if isinstance(octets, str) else octets)

    done = audited(path, *options)

    assert done.exit_code == code
    assert done.stdout.startswith("NOT CHECKED for known vulnerabilities: no database of advisories can be read (")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("events", "vulnerable"),
    [
        (({"introduced": "0"}, {"fixed": "2.0"}), {"1.0", "1.9.post1", "2.0rc1"}),
        (({"introduced": "1.5"}, {"last_affected": "2.0"}), {"1.9.post1", "2.0", "2.0rc1"}),
        (({"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "2.0"}, {"fixed": "2.0.1"}), {"1.0", "2.0"}),
        (({"introduced": "not a version"}, {"fixed": "1.5"}), {"1.0"}),
    ],
)
def test_versions_are_compared_as_osv_specifies(
    tmp_path: Path, events: tuple[Document, ...], vulnerable: set[str]
) -> None:
    database = Database.read(zip_of(tmp_path, advisory("PYSEC-1", "example", *events)))

    versions = ("1.0", "1.9.post1", "2.0rc1", "2.0", "2.0.1", "10.0")
    assert {version for version in versions if database.known("example", version)} == vulnerable
