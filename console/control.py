"""Control: the pause of sending, and the settings that each worker and producer runs with.

It also compares the workers' settings with the console's, before an action.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from aiokafka.errors import KafkaError

from console.processes import processes
from console.settings import Settings
from console.shared_settings import Comparisons, compare
from hubspot_consumer.gates.circuit_breaker import Paused
from hubspot_consumer.gates.pause import Pause, publish_pause, read_paused
from runtime.clock import Clock
from runtime.kafka.new_topics import TopicsNotReady
from schemas.texts import read_json

# A page waits for the answer.
READ_WITHIN_S: Final = 8.0
SENDS_BY: Final = ("kafka", "worker", "portal")


class KafkaDoesNotTell(Exception):
    """The pause could not be read or changed; the message says why."""


class AnotherPause(Exception):
    """Another pause than the one to be ended is in force; the message says which."""

    def __init__(self, paused: Paused) -> None:
        super().__init__(f"another pause has replaced the one that you saw, and is still in force: since {paused}")


@dataclass(frozen=True)
class ServiceStatus:
    """The status of the worker or producer at an address, or why it has none."""

    url: str
    status: Mapping[str, Any]
    trouble: str = ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings in force, for display."""
        settings = self.status.get("settings")
        return {name: _shown(value) for name, value in settings.items()} if isinstance(settings, dict) else {}

    @property
    def halted(self) -> Mapping[str, Any] | None:
        """The halt, and in `behind` the one behind it, each with `reason` and `detail`; None if nothing is halted."""
        halted = self.status.get("halted")
        return _halt(halted) | {"behind": _halt(halted.get("behind"))} if isinstance(halted, dict) else None

    @property
    def sends_not_for(self) -> Mapping[str, str]:
        """The unwell parts that stop a worker from sending, with the reasons. A halt is shown separately."""
        unwell = self.status.get("unwell")
        return {part: unwell[part] for part in SENDS_BY if part in unwell} if isinstance(unwell, dict) else {}


@dataclass(frozen=True)
class Setting:
    """The values of a setting in several services, in their order; None for a service that does not report it."""

    name: str
    values: Sequence[Any]

    @property
    def differs(self) -> bool:
        return len({str(value) for value in self.values if value is not None}) > 1


def compared(services: Sequence[ServiceStatus]) -> list[Setting]:
    """Return every setting that at least one of *services* reports, in order of first appearance."""
    names = dict.fromkeys(name for service in services for name in service.settings)
    return [Setting(name, [service.settings.get(name) for service in services]) for name in names]


@dataclass(frozen=True)
class Control:
    """Reads Kafka and the services on each request: pages must show the state in force, not a cached one."""

    settings: Settings
    # The console's values of the shared settings, by name.
    ours: Mapping[str, str]
    http: httpx.AsyncClient
    clock: Clock

    async def paused(self) -> Paused | None:
        """Return the pause in force, if any. Raises KafkaDoesNotTell."""
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await read_paused(self.settings.client_options(), self.settings.topics.controls, self.clock)
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaDoesNotTell(f"Kafka does not say whether sending is paused ({type(error).__name__})") from error

    async def pause(self, by: str, note: str) -> None:
        """Pause sending by all workers. Raises KafkaDoesNotTell."""
        await self._publish(Pause(at=self.clock.now(), by=by, note=note))

    async def resume(self, seen: str) -> None:
        """End the pause whose `since` in ISO form is *seen*, so that all workers send again.

        If the pause in force can't be read, it is ended without this check. Raises AnotherPause and KafkaDoesNotTell.
        """
        with contextlib.suppress(KafkaDoesNotTell):
            paused = await self.paused()
            if paused is not None and paused.since.isoformat() != seen:
                raise AnotherPause(paused)
        await self._publish(None)

    async def compare_settings(
        self, names: Sequence[str], outcome: dict[str, Any], *, refuse: bool = True
    ) -> Sequence[str]:
        """Compare the shared settings *names* of the workers, as of now, with the console's.

        Returns what differs or could not be compared, in words, and adds it to *outcome*, for the audit log. Raises
        OtherSettings if a setting differs, and *refuse*.
        """
        workers = await self.workers()
        found = Comparisons(
            [compare(f"worker {each.url}", self.ours, each.status, names, each.trouble) for each in workers]
        )
        if found.notices:
            outcome["notices"] = found.notices
        if refuse:
            found.require()
        return found.notices

    async def workers(self) -> list[ServiceStatus]:
        return await self._ask_all(self.settings.console_consumers)

    async def producers(self) -> list[ServiceStatus]:
        return await self._ask_all(self.settings.console_producers)

    async def _publish(self, pause: Pause | None) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await publish_pause(self.settings, pause)
        except (KafkaError, OSError, TimeoutError, TopicsNotReady) as error:
            words = f"Kafka did not confirm it ({type(error).__name__}): check whether sending is paused"
            raise KafkaDoesNotTell(words) from error

    async def _ask_all(self, addresses: Sequence[str]) -> list[ServiceStatus]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_WITHIN_S):
                addresses = await processes(addresses)
        return list(await asyncio.gather(*map(self._ask, addresses)))

    async def _ask(self, url: str) -> ServiceStatus:
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                status = read_json((await self.http.get(f"{url}/v1/status")).raise_for_status().content)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            return ServiceStatus(url, {}, f"can't be reached ({type(error).__name__})")
        return ServiceStatus(url, status) if isinstance(status, dict) else ServiceStatus(url, {}, "says something else")


def _halt(halt: Any) -> dict[str, Any]:
    return {name: halt.get(name) for name in ("reason", "detail")} if isinstance(halt, dict) else {}


def _shown(value: Any) -> Any:
    if value is None or value == "":
        return "—"
    return str(value).lower() if isinstance(value, bool) else value
