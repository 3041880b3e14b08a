"""A console to which nobody can sign in: it stays up, shows no data, and says what it needs."""

from pathlib import Path

import httpx
import pytest

from console.web.closed import CLOSED
from sandbox.processes import free_port
from sandbox.services import Service
from tests.console.server import Visitor, application, routes

NOBODY = {"console_operator_token": None, "console_reader_token": None}
ALIVE = "/v1/health/live"
PAGES = [*routes(application(Path("unused"))), ("GET", "/static/console.js"), ("GET", "/docs"), ("POST", ALIVE)]


@pytest.mark.parametrize(
    ("method", "path"),
    [one for one in PAGES if one not in {("GET", ALIVE), ("GET", "/v1/health"), ("GET", "/metrics")}],
)
async def test_each_page_is_a_sentence_that_names_the_setting(tmp_path: Path, method: str, path: str) -> None:
    answer = await Visitor(application(tmp_path, NOBODY)).http.request(method, path)

    assert (answer.status_code, answer.text) == (503, f"{CLOSED}\n")
    assert "CONSOLE_OPERATOR_TOKEN" in CLOSED
    assert "openssl rand -hex 32" in CLOSED
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    visitor = Visitor(application(tmp_path, NOBODY))

    assert (await visitor.http.get(ALIVE)).status_code == 200
    health = await visitor.http.get("/v1/health")
    assert (health.status_code, health.json()["unwell"]) == (503, {"sign_in": CLOSED})
    assert (await visitor.http.get("/metrics")).text == ""


async def test_the_process_stays_up_and_logs_one_line_about_it(tmp_path: Path) -> None:
    port = free_port()
    settings = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "CONSOLE_PORT": str(port), "CONSOLE_OPERATOR_TOKEN": ""}
    console = Service("console", ["console", "serve"], tmp_path, settings, port)

    async def live() -> bool:
        return await console.live() == 200

    console.launch()
    try:
        await console.until(live, within_s=30)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/")).status_code == 503
    finally:
        await console.stop()

    assert console.exit_code == 0
    assert console.log.read_text().count("console.closed") == 1
