"""A token endpoint of OAuth's client credentials, whose tokens Kafka takes because they need no signature."""

import json
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

from sandbox.listener import USER

CLIENT_SECRET = "open-sesame-client"


@dataclass
class TokenServer:
    """What the endpoint does, which a test may change, and what it was asked for."""

    url: str
    secret: str
    lasts_s: float = 600
    # If set, the tokens' `exp` claim lies by so much before the end that `expires_in` promises.
    lies_by_s: float = 0
    status: int = 200
    body: bytes = b""
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, authorization: str, body: str) -> tuple[int, bytes]:
        self.asked.append(parse_qs(body))
        if self.status != 200 or self.body:
            return self.status, self.body
        if b64decode(authorization.removeprefix("Basic ")).decode() != f"{USER}:{self.secret}":
            return 401, b'{"error": "invalid_client"}'
        token = unsigned({"sub": USER, "iat": time.time() - 60, "exp": time.time() + self.lasts_s - self.lies_by_s})
        return 200, json.dumps({"access_token": token, "expires_in": self.lasts_s, "token_type": "bearer"}).encode()


def unsigned(claims: dict[str, object]) -> str:
    """Return a token with *claims* and no signature."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


@contextmanager
def token_server(secret: str) -> Iterator[TokenServer]:
    """Serve tokens on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            status, body = server.answer(self.headers["Authorization"], self.rfile.read(length).decode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no line for each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = TokenServer(f"http://127.0.0.1:{http.server_port}/token", secret)
        Thread(target=http.serve_forever, daemon=True).start()
        yield server
        http.shutdown()
