"""Progress: reports the steps of a long operation to a person."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""A callback that is called at the begin of each step, with a description for people."""


def silent(_step: str) -> None:
    """Report nothing."""
