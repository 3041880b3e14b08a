"""Proxies: which are trusted, and what such a proxy says about a request. Nothing else that a request says counts."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from fastapi import Request

from console.settings import Network


class Proxies:
    """The trusted proxies, by their networks."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted: Final = trusted

    def named(self, request: Request, header: str) -> str | None:
        """Return the name that a trusted proxy passes in *header*; None if there is none."""
        names = [name.strip() for name in request.headers.getlist(header)]
        # Two headers are the proxy's own and a forged one that a client sent to it.
        return names[0] if len(names) == 1 and names[0] and self._is_trusted(_peer(request)) else None

    def address(self, request: Request) -> str:
        """Return the address of the person: of a trusted proxy's request, the last one that is not a proxy's."""
        address = _peer(request)
        forwarded = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        # Each proxy adds the address of its client at the end; what is before may be forged.
        while forwarded and self._is_trusted(address):
            before = forwarded.pop().strip()
            if not _is_address(before):
                break
            address = before
        return address

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._trusted)


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
