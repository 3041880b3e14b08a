"""`python -m sandbox`: the whole system on one machine, for trials, tests and demonstrations."""

import asyncio
import contextlib
import secrets
import shutil
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from hubspot_consumer.hubspot.paths import ApiVersion
from runtime.commands import FAILED, INTERRUPTED, NOBODY_READS, stop_signal
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
    raise SystemExit(_run(_up()))


commands.command()(hubspot)


@commands.command()
def demo(  # noqa: PLR0913 - each is an option of the command
    *,
    events: Annotated[int, typer.Option(min=50, help="Number of events of the day.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Seed of the random traffic.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, and print the addresses.")] = False,
    opens: Annotated[bool, typer.Option("--open", help="Keep it, and open the console in the browser.")] = False,
    api_version: Annotated[ApiVersion, typer.Option(help="The version of HubSpot's API.")] = "2026-09",
    notes: Annotated[bool, typer.Option("--notes", help="A portal that takes no custom events.")] = False,
) -> None:
    """Play a day of lifecycle traffic through the real services. Exits 0 if every event arrived once, in order.

    HUBSPOT_ID_PROPERTY, if it is set, holds for the simulator and for the services. Each day begins with empty
    servers, and uses what was downloaded for an earlier one. Ctrl-C ends it at any moment, and leaves nothing behind.
    """
    demo = Demo(
        _Told(highlight=False),
        events=events,
        seed=seed,
        keep=keep,
        opens=opens,
        api_version=api_version,
        custom_events=not notes,
    )
    # Nothing is made before the signals are heeded.
    directory = DIRECTORY.resolve() / f"demo-{secrets.token_hex(4)}"
    code = _run(_play(demo, directory))
    if code == FAILED and directory.exists():
        Console().print(f"the logs are in {directory}", style="red", soft_wrap=True)
    else:
        # What is being deleted is deleted whole.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            # It stays if `make stack` has data there.
            DIRECTORY.rmdir()
    if code == INTERRUPTED:
        Console().print(
            "Stopped: nothing is left running, and nothing on the disk but what was downloaded.", style="dim"
        )
    raise SystemExit(code)


class _Told(Console):
    """What the demo tells. If nobody reads on, as behind `| head`, that is an error to clean up after, and no exit."""

    def on_broken_pipe(self) -> None:
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise BrokenPipeError


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run *work*, and return its exit code."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return NOBODY_READS
    except (ProcessFailed, PortBusy, JarsUnavailable) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return FAILED


async def _up() -> int:
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
    return 0


async def _play(demo: Demo, directory: Path) -> int:
    stop = stop_signal()
    playing = asyncio.create_task(demo.run(directory))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    # A demo that is accounted for and not kept is already stopping.
    if demo.summary is None or demo.keeps:
        if stop.is_set():
            demo.say("stopping everything; a download that has begun ends first")
        playing.cancel()
    stopping.cancel()
    [outcome, _] = await asyncio.gather(playing, stopping, return_exceptions=True)
    # Ctrl-C also reaches what a start has called, such as initdb, whose failure is no news then.
    if isinstance(outcome, Exception) and not stop.is_set():
        raise outcome
    if demo.summary is None:
        return INTERRUPTED
    return 0 if demo.summary.clean else FAILED


if __name__ == "__main__":
    commands(prog_name="python -m sandbox")
