"""`python -m runtime.liveness URL` exits with 0 if URL answers with 200 within 3 s. Our containers have no curl."""

import sys
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

WITHIN_S: Final = 3.0


def alive(url: str, within_s: float = WITHIN_S) -> bool:
    """Return whether *url* answers with 200. The request uses no proxy, whatever the environment configures."""
    at = urlsplit(url)
    connection = HTTPConnection(at.hostname or "", at.port or 80, timeout=within_s)
    try:
        connection.request("GET", at.path or "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not alive(sys.argv[1]))
