"""`python -m console`: the command line of the console."""

from typing import Final

from runtime.program import program

COMMANDS: Final = {
    "serve": ("console.serve:serve", "Serve the console on CONSOLE_HOST and CONSOLE_PORT, until told to stop."),
}

commands = program(
    "A web page for people on call: how events flow, what happened to a contact, what is stuck, and actions. "
    "Settings are environment variables: see docs/console.md.",
    COMMANDS,
)

if __name__ == "__main__":
    commands(prog_name="python -m console", obj="runtime.kafka.clients:prepare_clients")
