"""The cells of the matrix: versions of PostgreSQL, what is before it, and versions of Kafka."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sandbox.variants.postgres_programs import IN_THE_WHEEL, PACKAGES
from sandbox.variants.versions import KAFKA, POOLERS, POSTGRES, Pooler, Variant

POSTGRES_VERSIONS: Final = (*PACKAGES, IN_THE_WHEEL)
ENDS: Final = tuple(KAFKA)


class Cell(NamedTuple):
    """One combination; `kafka` is `oldest` or `newest`."""

    postgres: int
    pooler: Pooler
    kafka: str

    def __str__(self) -> str:
        return f"PostgreSQL {self.postgres}, {self.pooler}, Kafka {KAFKA[self.kafka]}"

    @property
    def key(self) -> str:
        return f"{self.postgres} {self.pooler} {self.kafka}"

    @property
    def variant(self) -> Variant:
        return Variant(self.postgres, KAFKA[self.kafka], self.pooler)


ALL: Final = tuple(
    Cell(postgres, way, kafka) for kafka in ENDS for postgres in POSTGRES_VERSIONS for way in POOLERS.values()
)


class UnknownCell(ValueError):
    """No cell has the value that an option names."""


def selected(postgres: Sequence[str], poolers: Sequence[str], kafka: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells with these values, each one if none is given. Raises UnknownCell."""
    versions = [POSTGRES.get(name, name) for name in postgres]
    for given, known in ((versions, [*map(str, POSTGRES_VERSIONS)]), (poolers, [*POOLERS]), (kafka, [*ENDS])):
        if unknown := [value for value in given if value not in known]:
            raise UnknownCell(f"{unknown[0]} is none of {', '.join(known)}")
    for cell in ALL:
        if (
            (not versions or str(cell.postgres) in versions)
            and (not poolers or cell.pooler in poolers)
            and (not kafka or cell.kafka in kafka)
        ):
            yield cell
