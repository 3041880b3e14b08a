"""The exceptions that end a command, by exit code. Their messages are for the person who ran it."""


class Misconfigured(RuntimeError):
    """Ends a command with exit code 2: only other settings help. The message names them."""


class CannotGoOn(RuntimeError):
    """Ends a command with exit code 1: the settings are valid, but something else failed."""
