"""The processes at an address: the name of a scaled service stands for several of them."""

import asyncio
from collections.abc import Iterable, Sequence
from socket import AF_INET, SOCK_STREAM
from urllib.parse import urlsplit


async def processes(addresses: Iterable[str]) -> Sequence[str]:
    """Return the addresses of all processes that *addresses* stand for at this moment, each once."""
    found = await asyncio.gather(*map(_processes_at, addresses))
    return list(dict.fromkeys(address for at_one in found for address in at_one))


async def _processes_at(address: str) -> Sequence[str]:
    """Return an address for each IP address of the host, or *address* itself if there are not several.

    With https it is always *address* itself: the certificate names the host, and a proxy answers there.
    """
    url = urlsplit(address)
    if url.scheme == "https":
        return [address]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.hostname, url.port, type=SOCK_STREAM)
    except (OSError, UnicodeError):
        # The request to this address fails too, and says so.
        return [address]
    # A host such as `localhost` has an address of each family, so only those of one family are counted.
    of_family = [{str(at[0]) for family, *_, at in found if (family == AF_INET) is ipv4} for ipv4 in (True, False)]
    hosts = sorted(of_family[0] or {f"[{host}]" for host in of_family[1]})
    port = "" if url.port is None else f":{url.port}"
    return [url._replace(netloc=f"{host}{port}").geturl() for host in hosts] if len(hosts) > 1 else [address]
