"""`python -m sandbox.hubspot`: the simulator, where the rest of the sandbox is not installed."""

import typer

from sandbox.hubspot.command import hubspot

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
commands.command()(hubspot)

if __name__ == "__main__":
    commands(prog_name="python -m sandbox.hubspot")
