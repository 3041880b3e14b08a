"""`python -m sandbox.hubspot`: the simulator, for environments without the libraries of the rest of the sandbox."""

import typer

from sandbox.hubspot.command import hubspot

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
commands.command()(hubspot)

if __name__ == "__main__":
    commands(prog_name="python -m sandbox.hubspot")
