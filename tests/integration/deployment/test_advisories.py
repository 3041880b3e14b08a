"""`make audit`: pip-audit itself, beside a database of advisories that the test owns."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from sandbox.processes import free_port
from upkeep.__main__ import commands
from upkeep.advisories import KNOWN_TO_BE_VULNERABLE

pytestmark = pytest.mark.timeout(180)


@dataclass
class Database:
    """Speaks as much of OSV as is asked. *vulnerable* are names and versions of which it knows something."""

    vulnerable: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        package = f"{question['package']['name']}=={question['version']}"
        self.asked.append(package)
        if package not in self.vulnerable and question["package"]["name"] not in self.vulnerable:
            return {}
        affected = {
            "package": {**question["package"], "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.1"}]}],
        }
        known = {"id": "PYSEC-1", "summary": "bad", "details": "bad", "modified": "2026-01-01T00:00:00Z"}
        return {"vulns": [{**known, "published": "2026-01-01T00:00:00Z", "affected": [affected]}]}


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(database.answer(question)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    database.url = f"http://127.0.0.1:{server.server_port}/v1/query"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield database
    server.shutdown()
    thread.join()
    server.server_close()


def audited(url: str, *options: str) -> Any:
    return CliRunner().invoke(commands, ["advisories", "--osv-url", url, *options])


def test_every_locked_version_is_looked_up_and_a_vulnerable_one_is_named(database: Database) -> None:
    database.vulnerable = {KNOWN_TO_BE_VULNERABLE, "psycopg"}

    done = audited(database.url)

    assert done.exit_code == 1
    assert "PYSEC-1, fixed by 999.1" in done.stdout
    assert done.stdout.startswith("psycopg ")
    assert "1 known vulnerabilities in" in done.stderr
    names = {package.partition("==")[0] for package in database.asked}
    assert names >= {"aiokafka", "faust-streaming", "structlog", "pytest", "pip-audit"}


def test_nothing_known_of_any_is_success(database: Database) -> None:
    database.vulnerable = {KNOWN_TO_BE_VULNERABLE}

    done = audited(database.url)

    assert done.exit_code == 0
    assert done.stdout.startswith("no known vulnerability in ")
    assert len(database.asked) > 100


def test_a_database_that_knows_nothing_is_none_and_is_asked_nothing_else(database: Database) -> None:
    done = audited(database.url)

    assert done.exit_code == 3
    assert done.stdout.startswith("NOT CHECKED for known vulnerabilities")
    assert database.asked == [KNOWN_TO_BE_VULNERABLE]


@pytest.mark.parametrize(("options", "code"), [([], 3), (["--where-reachable"], 0)])
def test_where_no_database_answers_it_says_so_and_fails_unless_told_otherwise(options: list[str], code: int) -> None:
    done = audited(f"http://127.0.0.1:{free_port()}/v1/query", *options)

    assert done.exit_code == code
    assert done.stdout.startswith("NOT CHECKED for known vulnerabilities: no database of advisories can be reached")
    assert len(done.stdout.splitlines()) == 1
