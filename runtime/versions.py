"""The versions of the servers that are promised. docs/versions.md says which of them were tried."""

from typing import Final, NamedTuple


class Promised(NamedTuple):
    """The oldest and the newest version, as its numbers: (14,) or (3, 3)."""

    oldest: tuple[int, ...]
    newest: tuple[int, ...]

    def __str__(self) -> str:
        return f"{dotted(self.oldest)} to {dotted(self.newest)}"

    def includes(self, version: tuple[int, ...]) -> bool:
        """Return whether *version*, which may have more numbers, is promised."""
        return self.oldest <= version[: len(self.oldest)] <= self.newest


POSTGRESQL: Final = Promised((14,), (18,))
KAFKA: Final = Promised((3, 3), (4, 4))


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
