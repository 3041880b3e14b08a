"""The health check of our containers."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from runtime.liveness import alive
from sandbox.processes import free_port

asked = threading.Event()
answer = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/hangs":
            asked.set()
            answer.wait(20)
        self.send_response({"/v1/health/live": 200, "/hangs": 200, "/moved": 301}.get(self.path, 503))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        answer.set()
        server.shutdown()
        thread.join()
    answer.clear()


@pytest.mark.parametrize(("path", "code"), [("/v1/health/live", 0), ("/moved", 1), ("/", 1)])
def test_the_exit_code_says_whether_the_service_lives_and_no_proxy_is_asked(url: str, path: str, code: int) -> None:
    proxies = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}

    done = subprocess.run([sys.executable, "-m", "runtime.liveness", url + path], env=proxies, check=False, timeout=20)

    assert done.returncode == code


def test_nobody_there_is_not_alive() -> None:
    assert not alive(f"http://127.0.0.1:{free_port()}/v1/health/live")


def test_one_that_hangs_is_not_alive(url: str) -> None:
    assert not alive(f"{url}/hangs", within_s=0.1)
    assert asked.is_set()
