"""A program with several commands. A command is imported when it is called: `--help` and `pause` need no Faust."""

import gc
import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module, metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

# What stands for the version of a process that does not tell one.
UNTOLD: Final = "an older version"
# Python's 700 made the collector look at all pending events again and again: a quarter of a worker's time.
OBJECTS_BETWEEN_COLLECTIONS: Final = 10_000


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer passes the option's value by position
    if asked:
        typer.echo(program_version())
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_show_version, help="Print the version, and its commit if known."
    ),
]


class Later(TyperCommand):
    """A command that is not imported yet: its name, the first paragraph of its help, and `module:function`."""

    def __init__(self, name: str, help: str, where: str) -> None:  # noqa: A002 - click's name of the parameter
        super().__init__(name, help=help)
        self.where = where

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of the command itself, which is imported now."""
        if parent.obj is not None:
            # Objects of imported modules stay, so to collect garbage among them would waste a fifth of the time.
            gc.disable()
            named(parent.obj)()
        command = loaded(self.where, info_name)
        if parent.obj is not None:
            gc.freeze()
            gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
            gc.enable()
        return command.make_context(info_name, args, parent, **extra)


def program(about: str, commands: Mapping[str, tuple[str, str]]) -> typer.Typer:
    """Return a program with *commands*: by name, the `module:function` of each and its line in `--help`.

    If the program is called with `obj="module:function"`, it calls that function before the command: one with effects
    on the whole process, such as `prepare_clients`.
    """

    class Group(TyperGroup):
        def __init__(self, **given: Any) -> None:
            later = {name: Later(name, line, where) for name, (where, line) in commands.items()}
            super().__init__(**{**given, "commands": later})

    made = typer.Typer(
        cls=Group, help=about, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    return with_version(made)


def with_version(made: typer.Typer) -> typer.Typer:
    """Give a program of several commands the option `--version`."""

    @made.callback()
    def options(*, version: VersionOption = False) -> None:
        pass

    return made


def loaded(where: str, name: str | None) -> Any:
    """Import and return the command, or the group of commands, at *where*."""
    found = named(where)
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False)
        found.command(name)(function)
    return typer.main.get_command(found)


def named(where: str) -> Any:
    """Return the object at *where*, `module:name`."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


@cache
def program_version() -> str:
    """Return the version as `0.1.0 (abc1234)`, without the commit where an image does not tell it."""
    try:
        version = metadata.version("nerava-lifecycle-services")
    except metadata.PackageNotFoundError:
        # The simulator's image has the packages and no distribution, so its Dockerfile says the version.
        version = os.environ.get("NERAVA_VERSION") or "unknown"
    commit, dirty, _ = os.environ.get("NERAVA_REVISION", "").partition("-dirty")
    return f"{version} ({commit[:7]}{dirty})" if commit else version
