"""A terminal with bash in it, to type into as a person does; Ctrl-C is Ctrl-C."""

import asyncio
import contextlib
import os
import pty
import re
import subprocess
import termios
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from tests.polling import eventually

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What everybody's terminal has at the least.
SIZE = (24, 80)
CTRL_C = b"\x03"
_numbers = count(1)


class Terminal:
    """What was typed is not echoed: `shown` is what programs have printed since something was typed last."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._ours, self._theirs = pty.openpty()
        attributes = termios.tcgetattr(self._theirs)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self._theirs, termios.TCSANOW, attributes)
        termios.tcsetwinsize(self._theirs, SIZE)
        # Who leads a session and opens a terminal has it for its own: only then does Ctrl-C reach what runs in it.
        self._bash = subprocess.Popen(
            ["sh", "-c", 'exec bash --noprofile --norc --noediting -i <"$0" >"$0" 2>&1', os.ttyname(self._theirs)],
            cwd=directory,
            env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._printed = b""
        self._mark = ""
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        self._write("PS1= PS2= VIRTUAL_ENV_DISABLE_PROMPT=1; trap 'echo \"said no to: $BASH_COMMAND\"' ERR")

    async def types(self, commands: str) -> None:
        """Type *commands* when those before have ended."""
        await self.ended()
        self._printed = b""
        self._write(commands)
        self._ask()

    async def ended(self, *, within_s: float = 120) -> int | None:
        """Return the last command's exit code when all have ended; None where nothing was typed."""
        if not self._mark:
            return None

        async def answered() -> "re.Match[str] | None":
            return re.search(rf"{self._mark} (\d+)", self._text)

        return int((await eventually(answered, within_s=within_s, saying=f"{self.shown}\nthe commands end"))[1])  # type: ignore[index]

    @property
    def idle(self) -> bool:
        return bool(re.search(rf"{self._mark} \d+", self._text))

    @property
    def shown(self) -> str:
        return re.sub(rf"{self._mark} \d+\n", "", self._text) if self._mark else self._text

    def interrupts(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, CTRL_C)
        # Whatever was typed ahead is gone with it.
        self._ask()

    async def close(self) -> None:
        """End what runs in it."""
        if self._mark and not self.idle:
            self.interrupts()
            with contextlib.suppress(AssertionError):
                await self.ended(within_s=40)
        self._write("exit")
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._bash.wait, 5)
        self._bash.kill()
        self._bash.wait()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._theirs)
        os.close(self._ours)

    @property
    def _text(self) -> str:
        return ESCAPES.sub("", self._printed.decode(errors="replace")).replace("\r", "")

    def _ask(self) -> None:
        self._mark = f"ended-{next(_numbers)}"
        self._write(f"echo {self._mark} $?")

    def _write(self, text: str) -> None:
        os.write(self._ours, f"{text.rstrip()}\n".encode())

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self._printed += os.read(self._ours, 65_536)
