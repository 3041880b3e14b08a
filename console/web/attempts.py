"""Attempts to sign in: how many wrong tokens an address may send, and all addresses together."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from runtime.clock import Clock

# A person may mistype a token this often at once, and then once in this time.
AT_ONCE: Final = 5
AGAIN_AFTER_S: Final = 12.0
# The same of all addresses together: somebody may have many.
ALL_AT_ONCE: Final = 300
ALL_AGAIN_AFTER_S: Final = 0.25
MOST_ADDRESSES: Final = 1_000


class TooManyAttempts(Exception):
    """Too many wrong tokens came, so this attempt was not looked at. *wait_s*: the time until the next one is."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many wrong tokens: try again in {wait_s:.0f} s")
        self.wait_s: Final = wait_s


class Attempts:
    """Counts wrong tokens. Each takes a time to be forgotten, one after the other; right tokens are not counted.

    Memory is bounded: above MOST_ADDRESSES, the address that is forgotten next is forgotten now.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        # The times at which all wrong tokens are forgotten: those of each address, and those of all.
        self._until: Final[dict[str, float]] = {}
        self._all_until = 0.0

    def wait_s(self, address: str) -> float:
        """Return the time until a token from *address* is looked at; 0 for now."""
        now = self._clock.monotonic()
        own = self._until.get(_person(address), now) - now - (AT_ONCE - 1) * AGAIN_AFTER_S
        everybodys = self._all_until - now - (ALL_AT_ONCE - 1) * ALL_AGAIN_AFTER_S
        return max(0.0, own, everybodys)

    def count_wrong(self, address: str) -> None:
        now, person = self._clock.monotonic(), _person(address)
        self._until[person] = max(now, self._until.get(person, now)) + AGAIN_AFTER_S
        self._all_until = max(now, self._all_until) + ALL_AGAIN_AFTER_S
        if len(self._until) > MOST_ADDRESSES:
            del self._until[min(self._until, key=self._until.__getitem__)]


def _person(address: str) -> str:
    """Return what stands for the person at *address*: of IPv6, anyone has all addresses of a network."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Network((parsed, 64), strict=False))
    return str(parsed)
