"""`python -m sandbox`: the whole system on one machine, for trials, tests and demonstrations."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from hubspot_consumer.hubspot.paths import ApiVersion
from runtime.commands import FAILED, stop_signal
from runtime.program import with_version
from sandbox.demo import Demo
from sandbox.hubspot.command import hubspot
from sandbox.java import JarsUnavailable
from sandbox.processes import PortBusy, ProcessFailed
from sandbox.stack import Stack

DIRECTORY: Final = Path(".sandbox")
ENVIRONMENT: Final = DIRECTORY / "environment"

commands = with_version(
    typer.Typer(
        help="Kafka, PostgreSQL and a HubSpot simulator on this machine, without any installation.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
)


@commands.command()
def up() -> None:
    """Start the stack, print the environment that the services need, and run until Ctrl-C.

    The data stays in .sandbox/up; the environment is in .sandbox/environment too, to be sourced, while it runs.
    """
    _run(_up())


commands.command()(hubspot)


@commands.command()
def demo(
    *,
    events: Annotated[int, typer.Option(min=50, help="Number of events of the day.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Seed of the random traffic.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, and print the addresses.")] = False,
    api_version: Annotated[ApiVersion, typer.Option(help="The version of HubSpot's API.")] = "2026-09",
    notes: Annotated[bool, typer.Option("--notes", help="A portal that takes no custom events.")] = False,
) -> None:
    """Play a day of lifecycle traffic through the real services. Exits 0 if every event arrived once, in order.

    HUBSPOT_ID_PROPERTY, if it is set, holds for the simulator and for the services.
    """
    DIRECTORY.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="demo-", dir=DIRECTORY.resolve()))
    demo = Demo(
        directory,
        Console(),
        events=events,
        seed=seed,
        keep=keep,
        api_version=api_version,
        custom_events=not notes,
    )
    _run(_play(directory, demo, keep=keep))


def _run(work: Coroutine[Any, Any, bool]) -> None:
    try:
        clean = asyncio.run(work)
    except (ProcessFailed, PortBusy, JarsUnavailable) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise SystemExit(FAILED) from None
    raise SystemExit(0 if clean else FAILED)


async def _up() -> bool:
    console, stop = Console(), stop_signal()
    directory = DIRECTORY.resolve() / "up"
    async with Stack(directory, progress=lambda step: console.print(f"· {step}", style="dim")) as stack:
        lines = [f"{name}={value}" for name, value in stack.environment.items()]
        ENVIRONMENT.write_text("\n".join(lines) + "\n")
        console.print("\n".join(lines), soft_wrap=True, highlight=False)
        console.print(f"\nIn another terminal: set -a; . {ENVIRONMENT}; python -m producer serve", style="dim")
        await stop.wait()
        # The next stack has other ports, so the file with these ports is deleted.
        ENVIRONMENT.unlink(missing_ok=True)
    return True


async def _play(directory: Path, demo: Demo, *, keep: bool) -> bool:
    stop = stop_signal()
    playing = asyncio.create_task(demo.run(stop))
    stopping = asyncio.create_task(stop.wait())
    if keep:
        clean = await playing
    else:
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        clean = playing.done() and playing.result()
    stopping.cancel()
    playing.cancel()
    await asyncio.wait({playing})
    if clean:
        shutil.rmtree(directory)
    else:
        Console().print(f"the logs are in {directory}", style="red", soft_wrap=True)
    return clean


if __name__ == "__main__":
    commands(prog_name="python -m sandbox")
