"""Commands of ours as processes that import nothing again: each is a fork of one process that has.

A fork has its own environment, folder and output, as `python -m` would have. Only the imports are spared, which are
most of a short command's time. `python -m tests.forked SOCKET` is the process that forks.
"""

import asyncio
import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from sandbox.processes import Process

# What other modules that are started import most of.
IMPORT_FOR = {"sandbox.hubspot": "sandbox.hubspot.command", "tests.console.indexing": "console.contacts.indexer"}
PROGRAMS = ("hubspot_consumer", "producer", "console")
ROOT = Path(__file__).parents[1]
MOST_BYTES = 1 << 20
Output = IO[bytes]
STARTS_WITHIN_S = 60.0


class Fork:
    """A fork, with what `Process` of the sandbox uses of a `subprocess.Popen`; it is killed with this object."""

    def __init__(self, asking: socket.socket) -> None:
        self._asking = asking
        self.pid = int(asking.recv(MOST_BYTES))
        self.returncode: int | None = None
        asking.settimeout(0)

    def poll(self) -> int | None:
        with suppress(BlockingIOError):
            if self.returncode is None:
                self._ended(self._asking.recv(MOST_BYTES))
        return self.returncode

    async def wait(self) -> int:
        if self.returncode is None:
            self._ended(await asyncio.get_running_loop().sock_recv(self._asking, MOST_BYTES))
        assert self.returncode is not None
        return self.returncode

    def close(self) -> None:
        self._asking.close()

    def __del__(self) -> None:
        self.close()

    def _ended(self, code: bytes) -> None:
        self.returncode = int(code)
        self.close()


class Forks:
    """The process that forks: it starts with the first command, and ends with the process that started it."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], output: Output, errors: Output
    ) -> Fork:
        """Start what `python -m module arguments` would."""
        asked = {"module": module, "arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd())}
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asking.connect(self._address())
        socket.send_fds(asking, [json.dumps(asked).encode()], [output.fileno(), errors.fileno()])
        return Fork(asking)

    async def run(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Return the exit code of `python -m module arguments`, and what it printed. A cancelled one is killed."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            with closing(self.start(module, arguments, environment, output, errors)) as fork:
                code = await fork.wait()
            output.seek(0)
            errors.seek(0)
            return code, output.read().decode(), errors.read().decode()

    def _address(self) -> str:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="forks", ignore_cleanup_errors=True)
            address = Path(self._folder.name, "socket")
            command = [sys.executable, "-m", "tests.forked", str(address)]
            # Its standard input ends when this process does.
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
            atexit.register(self._process.communicate)
            until = time.monotonic() + STARTS_WITHIN_S
            while not address.exists() and self._process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
        return f"{self._folder.name}/socket"


forks = Forks()


def start(process: Process, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Start *process* as its own `start` would with `python -m module arguments`."""
    process.log.parent.mkdir(parents=True, exist_ok=True)
    with process.log.open("ab") as output:
        own = {**os.environ, **(environment or {})}
        process._process = forks.start(module, arguments, own, output, output)  # type: ignore[assignment]


def import_command(module: str, arguments: Sequence[str]) -> None:
    """Import what a command of ours imports, so that the forks that follow have it."""
    if module in IMPORT_FOR:
        import_module(IMPORT_FOR[module])
    if module in PROGRAMS and arguments:
        where, _ = import_module(f"{module}.__main__").COMMANDS.get(arguments[0], ("", ""))
        # A fork runs it as `__main__`.
        del sys.modules[f"{module}.__main__"]
        if where:
            import_module(where.partition(":")[0])


def wait_for_end(asking: socket.socket, pid: int) -> int:
    """Return the exit code of a child, as `subprocess` has it; kill the child if whoever asked goes away."""
    child = os.pidfd_open(pid)
    ready, _, _ = select.select([child, asking.fileno()], [], [])
    if child not in ready:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve(address: str) -> tuple[str, list[str]]:
    """Fork for each command that is asked for; return in the fork, with its module and arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"{address}.new")
        listening.listen()
        Path(f"{address}.new").rename(address)
        while True:
            ready, _, _ = select.select([listening.fileno(), sys.stdin.fileno()], [], [])
            if listening.fileno() not in ready:
                raise SystemExit(0)
            asking, _ = listening.accept()
            content, ends, _, _ = socket.recv_fds(asking, MOST_BYTES, 2)
            asked = json.loads(content)
            import_command(asked["module"], asked["arguments"])
            gc.freeze()
            if os.fork():
                asking.close()
                for end in ends:
                    os.close(end)
                continue
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if pid := os.fork():
                with suppress(OSError):
                    asking.send(str(pid).encode())
                code = wait_for_end(asking, pid)
                with suppress(OSError):
                    asking.send(str(code).encode())
                os._exit(0)
            asking.close()
            become(asked, ends)
            return asked["module"], asked["arguments"]


def become(asked: Mapping[str, Any], ends: Sequence[int]) -> None:
    """Take the output, the folder and the environment that were asked for."""
    gc.unfreeze()
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, end in enumerate((nothing, *ends)):
        os.dup2(end, number)
        os.close(end)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()


if __name__ == "__main__":
    program, words = serve(sys.argv[1])
    sys.argv = [program, *words]
    runpy.run_module(program, run_name="__main__", alter_sys=True)
