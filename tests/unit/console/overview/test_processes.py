"""A name with several IP addresses stands for a process at each, for as long as it has them."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.control import Control
from console.overview import source
from console.overview.source import ProcessSources
from console.processes import processes
from runtime.clock import SystemClock
from tests.clock import OwnedClock
from tests.console.server import settings
from tests.polling import eventually
from tests.unit.console.test_console_dead_letters import answering

SCALED = "http://consumer:8081"
ONE, TWO, THREE = (f"http://192.0.2.{number}:8081" for number in (1, 2, 3))


class Names:
    """Names and their IP addresses, in place of the machine's."""

    def __init__(self) -> None:
        self.known: Mapping[str, Sequence[str]] = {}

    def ask(self, host: str, port: int | None, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if not (found := self.known.get(host)):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in one], socket.SOCK_STREAM, 6, "", (one, port or 0)) for one in found]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.ask)
    return names


@pytest.mark.parametrize(
    ("address", "known", "found"),
    [
        (SCALED, ["192.0.2.2", "192.0.2.1"], [ONE, TWO]),
        ("http://consumer", ["192.0.2.1", "192.0.2.2"], ["http://192.0.2.1", "http://192.0.2.2"]),
        (SCALED, ["2001:db8::2", "2001:db8::1"], ["http://[2001:db8::1]:8081", "http://[2001:db8::2]:8081"]),
        # A scaled service of which each process has an address of both families.
        (SCALED, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"], [ONE, TWO]),
    ],
)
async def test_a_name_with_several_ip_addresses_is_a_process_at_each(
    names: Names, address: str, known: Sequence[str], found: Sequence[str]
) -> None:
    names.known = {"consumer": known}

    assert await processes([address]) == found


@pytest.mark.parametrize(
    ("address", "known"),
    [
        (SCALED, ["192.0.2.1"]),
        ("http://localhost:8081", ["::1", "127.0.0.1"]),
        ("http://127.0.0.1:8081", ["127.0.0.1"]),
        ("http://[::1]:8081", ["::1"]),
        # The certificate of a proxy is for its name.
        ("https://consumer:8081", ["192.0.2.1", "192.0.2.2"]),
        # A name that has no address is kept, so that somebody reads that it does not answer.
        (SCALED, []),
    ],
)
async def test_any_other_address_is_one_process_as_it_is_written(
    names: Names, address: str, known: Sequence[str]
) -> None:
    names.known = dict.fromkeys(("consumer", "localhost", "127.0.0.1", "::1"), known)

    assert await processes([address, address]) == [address]


async def test_a_name_that_no_resolver_takes_is_kept() -> None:
    address = f"http://{'a' * 64}.example.com"

    assert await processes([address]) == [address]


class Workers:
    """The workers that answer, each at its own address."""

    def __init__(self) -> None:
        self.sources = ProcessSources("worker", [SCALED], self.ask, SystemClock())

    async def ask(self, address: str) -> str:
        if address == SCALED:
            raise OSError
        return address

    @property
    def shown(self) -> dict[str, str | None]:
        return {source.name.removeprefix("worker "): source.trouble for source in self.sources}


async def test_a_process_that_comes_is_shown_and_one_that_is_gone_leaves_no_alarm(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "EVERY_S", 0.01)
    workers = Workers()
    assert workers.shown == {SCALED: "not asked yet"}
    watching = asyncio.create_task(workers.sources.watch())

    steps: list[tuple[list[str], dict[str, str | None]]] = [
        ([], {SCALED: "can't be read (OSError)"}),
        (["192.0.2.1", "192.0.2.2"], {ONE: None, TWO: None}),
        (["192.0.2.2", "192.0.2.3"], {TWO: None, THREE: None}),
        ([], {SCALED: "can't be read (OSError)"}),
    ]
    for known, shown in steps:
        names.known = {"consumer": known}

        async def seen(expected: dict[str, str | None] = shown) -> bool:
            return workers.shown == expected

        await eventually(seen, within_s=5, every_s=0.01, saying=f"the console shows {shown}")
    # The watch of a process that is gone ends too: what is left is the watch of all, and that of the name.
    assert len(asyncio.all_tasks() - {asyncio.current_task()}) == 2
    watching.cancel()


async def test_a_process_that_stays_keeps_its_answers(names: Names) -> None:
    workers = Workers()
    names.known = {"consumer": ["192.0.2.1", "192.0.2.2"]}
    await workers.sources.find()
    _, before = workers.sources
    names.known = {"consumer": ["192.0.2.2", "192.0.2.3"]}

    await workers.sources.find()

    assert next(iter(workers.sources)) is before


async def test_the_control_page_asks_each_process_of_a_name(tmp_path: Path, names: Names) -> None:
    names.known = {"consumer": ["192.0.2.1", "192.0.2.2"]}
    http = answering({ONE: {"mode": "live"}})
    control = Control(settings(tmp_path, console_consumers=SCALED), {}, http, OwnedClock())

    assert [(worker.url, bool(worker.trouble)) for worker in await control.workers()] == [(ONE, False), (TWO, True)]
