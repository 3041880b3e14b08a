"""Helpers of the dead letters' commands: they read the catalogue, look up ids, and write resolutions."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from hubspot_consumer.cli.exit_codes import NotDone, run_to_its_end
from hubspot_consumer.cli.progress import Display
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.resolution_writer import ResolutionWriter
from hubspot_consumer.dead_letters.resolutions import Resolution
from hubspot_consumer.settings import KafkaSettings
from runtime import logs


def look(settings: KafkaSettings, work: Callable[[DeadLetterCatalogue], Awaitable[None]], name: str) -> NoReturn:
    """Read the catalogue, run *work* with it, and exit with 0 if it raises no error."""
    logs.set_up(level=logging.WARNING)

    async def read_and_work() -> int:
        with Display().progress("read") as shown:
            catalogue = await DeadLetterCatalogue.read(settings.client_options(), settings.topics, shown)
        await work(catalogue)
        return 0

    run_to_its_end(read_and_work, f"dead-letters {name}", settings, goes_on=False)


def letters_of(catalogue: DeadLetterCatalogue, ids: Sequence[str]) -> list[Letter]:
    """Return the dead letters of *ids*, each once. Raises NotDone for an unknown id."""
    if unknown := [each for each in dict.fromkeys(ids) if catalogue.of_id(each) is None]:
        raise NotDone(f"no such dead letter: {', '.join(unknown)}: see `dead-letters list --state all`")
    return list({letter.id: letter for letter in map(catalogue.of_id, ids) if letter is not None}.values())


async def resolve(settings: KafkaSettings, resolutions: Sequence[tuple[Sequence[Letter], Resolution]]) -> None:
    """Write resolutions of dead letters. Raises KafkaError and TopicsNotReady."""
    async with ResolutionWriter(settings) as writer:
        for letters, resolution in resolutions:
            await writer.resolve(letters, resolution)
