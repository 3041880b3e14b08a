"""Progress: what takes its time, told to whoever waits."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Told of each step as it begins, in words for a person."""


def silent(_step: str) -> None:
    """Tell nobody."""
