"""The project's own programs as processes: producer, consumer, console and HubSpot simulator."""

import signal
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from sandbox.processes import Process
from sandbox.variants.product import THIS, Version

READY_WITHIN_S: Final = 60.0
# The services speak plain HTTP. To load the certificates of the Web for each request would take 50 ms of a core.
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Service(Process):
    """`python -m …` with *environment*, which can be stopped, killed and restarted; its log is in *directory*."""

    def __init__(  # noqa: PLR0913 - a process with its place in the sandbox
        self,
        name: str,
        arguments: list[str],
        directory: Path,
        environment: Mapping[str, str],
        port: int | str = 0,
        *,
        version: Version = THIS,
    ) -> None:
        # Versions side by side have logs of their own.
        name = name if version is THIS else f"{name}-{version.name}"
        super().__init__(name, directory / f"{name}.log")
        self._command: Final = [*version.python, "-m", *arguments]
        self._environment: Final = environment
        self.url: Final = f"http://127.0.0.1:{port}"

    def launch(self) -> None:
        self.start(self._command, environment=self._environment)

    async def launch_and_wait(self) -> None:
        """Start the service, and return when it is healthy. Raises ProcessFailed."""
        self.launch()
        await self.until(self.healthy, within_s=READY_WITHIN_S)

    async def healthy(self) -> bool:
        return (await self.health())[0] == 200

    async def sending(self) -> bool:
        """Return whether the service is healthy and not halted."""
        return (await self.health())[1].get("status") == "ok"

    async def live(self) -> int:
        """Return the HTTP status of /v1/health/live; 0 without an answer."""
        return (await self._get("/v1/health/live"))[0]

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body of /v1/health; (0, {}) without an answer."""
        return await self._get("/v1/health")

    async def status(self) -> dict[str, Any]:
        """Return the body of /v1/status; empty without an answer."""
        return (await self._get("/v1/status"))[1]

    async def kill(self) -> None:
        """Kill the process as `kill -9` does."""
        await self.stop(signal.SIGKILL)

    async def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=5, verify=_NO_CERTIFICATES) as http:
                response = await http.get(path)
        except httpx.TransportError:
            return 0, {}
        body: dict[str, Any] = response.json()
        return response.status_code, body


def producer(directory: Path, environment: Mapping[str, str], version: Version = THIS) -> Service:
    return Service(
        "producer", ["producer", "serve"], directory, environment, environment["PRODUCER_PORT"], version=version
    )


def consumer(directory: Path, environment: Mapping[str, str], version: Version = THIS) -> Service:
    return Service(
        "consumer",
        ["hubspot_consumer", "worker"],
        directory,
        environment,
        environment["CONSUMER_PORT"],
        version=version,
    )


def console(directory: Path, environment: Mapping[str, str], version: Version = THIS) -> Service:
    return Service(
        "console", ["console", "serve"], directory, environment, environment["CONSOLE_PORT"], version=version
    )


def simulator(directory: Path, port: int, options: Sequence[str] = ()) -> Service:
    """Return the service of the HubSpot simulator; `sandbox.simulator.Simulator(service.url)` is its client."""
    # `python -m sandbox hubspot` is not used, since importing all commands of the sandbox doubles the start time.
    return Service("simulator", ["sandbox.hubspot", "--port", str(port), *options], directory, {}, port)
