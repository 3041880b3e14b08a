"""An indexer as a process, to be killed; and what an index holds."""

import asyncio
import sys
from pathlib import Path

from console.contacts.index import Index
from console.contacts.indexer import Indexer
from runtime.clock import SystemClock
from runtime.kafka import topic_reader
from schemas.topics import Topics

Place = tuple[str, int, int]


def indexer_of(servers: str, topics: Topics, folder: Path) -> tuple[Indexer, Index]:
    index = Index(folder)
    return Indexer({"bootstrap_servers": servers}, topics, "a-group-of-nobody", index, SystemClock()), index


def places(folder: Path) -> list[Place]:
    """Return the records that are in the index of *folder*, of the tables that keep each."""
    with Index(folder).reading() as connection:
        tables = ("events", "receipts", "letters")
        query = " UNION ALL ".join(
            f"SELECT topic, number, offset FROM {table} JOIN partitions ON partitions.id = partition"
            for table in tables
        )
        return sorted(connection.execute(query).fetchall())


if __name__ == "__main__":
    servers, prefix, folder = sys.argv[1:]
    # So that there is a middle in which to kill it.
    topic_reader.RECORDS_AT_ONCE = 200  # type: ignore[misc]
    asyncio.run(indexer_of(servers, Topics(prefix), Path(folder))[0].follow())
