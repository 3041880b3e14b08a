"""What ends a command, by its exit code: the messages of these are for the person who ran it."""


class Misconfigured(RuntimeError):
    """Ends a command with 2: only other settings help, and the message names them."""


class CannotGoOn(RuntimeError):
    """Ends a command with 1: the settings are right, and something else is not."""
