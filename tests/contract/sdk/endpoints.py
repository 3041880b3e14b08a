"""The table of endpoints in docs/hubspot-simulator.md: what checks the simulator's answer of each, in each version.

`python -m tests.contract.sdk.endpoints` writes it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

from sandbox.hubspot.http import routes
from sandbox.hubspot.http.answers import Refused
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.http.routes import Operation
from sandbox.hubspot.records.portal import Portal
from tests.contract.sdk.older_sdk import Sdk, served
from tests.contract.sdk.older_sdk import take_tour as take_older_tour
from tests.contract.sdk.tour import SDK_VERSION, MovedTransport, client, take_tour
from tests.recorded import RECORDED
from tests.samples import PORTAL_ID, TOKEN

PAGE: Final = Path(__file__).parents[3] / "docs/hubspot-simulator.md"
BEGIN, END = "<!-- endpoints: begin -->\n", "<!-- endpoints: end -->\n"
VERSIONS: Final = ("v3", "2026-03", "2026-09")
_NOT_CHECKED: Final = "not checked"
_OTHER_NAMES: Final = ("/0-1", "/0-46", "/contact/", "/note/")

Endpoint = tuple[str, str]
"""The method and the path of a route, as the simulator's log has them."""


def called(portal: Portal) -> frozenset[Endpoint]:
    """Return the endpoints that were called, each with success."""
    return frozenset((method, path) for method, path in (key.split(" ", 1) for key in portal.log.by_path()))


async def checked_by_newer_sdk(version: str) -> frozenset[Endpoint]:
    portal = Portal(PORTAL_ID, [TOKEN])
    async with client(import_module("hubspot_sdk"), MovedTransport(portal, version)) as sdk:
        await take_tour(sdk)
    return called(portal)


def checked_by_older_sdk() -> frozenset[Endpoint]:
    portal = Portal(PORTAL_ID, [TOKEN])
    with served(portal) as url:
        sdk = Sdk(url)
        take_older_tour(sdk(), portal)
        sdk.close()
    return called(portal)


def recorded_answers() -> frozenset[Operation]:
    """Return the operations with recorded answers that the simulator gives, in whatever version."""
    return frozenset(
        operation
        for recorded in RECORDED
        if recorded.sure != "unclear" and (operation := _operation(*recorded.method_and_url)) is not None
    )


def _operation(method: str, url: str) -> Operation | None:
    try:
        call = Call(method, tuple(url.partition("?")[0][1:].split("/")), [], "", b"")
        return routes.find(call, {}).operation
    except Refused:
        return None


def table() -> str:
    """Make the table, by taking the tours of both SDKs."""
    older, newer = "hubspot-api-client", "hubspot-sdk"
    checks = {
        "v3": (older, checked_by_older_sdk()),
        SDK_VERSION: (newer, asyncio.run(checked_by_newer_sdk(SDK_VERSION))),
        "2026-09": (f"{newer} ({SDK_VERSION})", asyncio.run(checked_by_newer_sdk("2026-09"))),
    }
    recorded = recorded_answers()
    lines = [
        f"{older} {version_of(older)}, {newer} {version_of(newer)}; ({SDK_VERSION}): by the models of that version.",
        "",
        f"| endpoint | {' | '.join(VERSIONS)} | recorded answers |",
        "|---|---|---|---|---|",
    ]
    for operation, endpoints in _by_operation().items():
        cells = [_cell(version, endpoints, *checks[version]) for version in VERSIONS]
        lines.append(f"| {_name(endpoints)} | {' | '.join(cells)} | {'yes' if operation in recorded else 'no'} |")
    return "\n".join(lines) + "\n"


def _by_operation() -> Mapping[Operation, list[Endpoint]]:
    """Return the endpoints of each operation, without those that differ in the name of an object type alone."""
    found: dict[Operation, list[Endpoint]] = {}
    for method, route in sorted(routes.documented(), key=lambda known: (known[1].path, known[0])):
        if not any(name in f"{route.path}/" for name in _OTHER_NAMES):
            found.setdefault(route.operation, []).append((method, route.path))
    return dict(sorted(found.items(), key=lambda item: _name(item[1])))


def _name(endpoints: Iterable[Endpoint]) -> str:
    """Return an operation as its path in the dated versions."""
    *_, (method, path) = sorted(endpoints, key=lambda endpoint: SDK_VERSION in endpoint[1])
    return f"`{method} {path.replace(SDK_VERSION, '<version>')}`"


def _cell(version: str, endpoints: Iterable[Endpoint], name: str, checked: frozenset[Endpoint]) -> str:
    # Paths without a version are the same in all versions, and v4 of the associations belongs to v3.
    mine = [endpoint for endpoint in endpoints if _version(endpoint[1]) in (version, "")]
    if not mine:
        return "-"
    return name if any(endpoint in checked for endpoint in mine) else _NOT_CHECKED


def _version(path: str) -> str:
    return next((version for version in VERSIONS if f"/{version}/" in f"{path}/"), "v3" if "/v4/" in path else "")


def written() -> str:
    """Return the table as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
