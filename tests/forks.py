"""Our programs started in a twentieth of the time: a process that has imported a program forks itself for each start.

Whatever starts so is a process of its own, with its own session, environment, folder and exit code, and runs
`python -m MODULE` to its end. Only its imports were made before. `NERAVA_TEST_COLD=1` lets each start import for
itself, as those do that have another PYTHONPATH. The server of a program is `python -m tests.forks PROGRAM SOCKET`.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

from sandbox.processes import Process, Started

ROOT: Final = Path(__file__).parents[1]
# The modules that a program needs, or the one that lists them as commands.
PROGRAMS: Final = {
    "hubspot_consumer": "hubspot_consumer.__main__",
    "producer": "producer.__main__",
    "console": "console.__main__",
    "sandbox.hubspot": "sandbox.hubspot.command",
    "tests.console.indexing": "console.contacts.indexer",
}
# Its modules are the consumer with something changed.
CHANGED: Final = "tests.workers."
LONGEST_REQUEST: Final = 1 << 17
PR_SET_PDEATHSIG: Final = 1
_servers: Final = dict[str, tuple[socket.socket, subprocess.Popen[bytes]]]()


class Forked:
    """A process that a server has forked: what `subprocess.Popen` is to its user."""

    def __init__(self, pid: int, ending: int) -> None:
        self.pid: Final = pid
        self._ending: Final = ending
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, a negative signal if one killed it; None while it runs."""
        if self._code is None and select.select([self._ending], [], [], 0)[0]:
            # The server is killed with its owner, and what it has forked with it.
            self._code = int(os.read(self._ending, 100) or -signal.SIGKILL)
            os.close(self._ending)
        return self._code

    async def wait(self) -> int:
        """Return the exit code when the process has ended."""
        if (code := self.poll()) is not None:
            return code
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ending, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._ending)
        code = self.poll()
        assert code is not None
        return code

    def __del__(self) -> None:
        if self._code is None:
            os.close(self._ending)


def program_of(command: Sequence[str | Path], environment: Mapping[str, str]) -> str | None:
    """Return the program whose server can fork *command*."""
    if os.environ.get("NERAVA_TEST_COLD") == "1" or sys.platform != "linux":
        return None
    if list(command[:2]) != [sys.executable, "-m"] or environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
        return None
    module = str(command[2])
    program = "hubspot_consumer" if module.startswith(CHANGED) else module
    return program if program in PROGRAMS else None


def forked(
    program: str, command: Sequence[str | Path], environment: Mapping[str, str], *, output: int, errors: int
) -> Forked:
    """Start *command*, a `python -m …`, with the whole *environment* and these files."""
    server = _server_of(program)
    read, write = os.pipe()
    module, *arguments = map(str, command[2:])
    request = json.dumps([module, arguments, dict(environment), str(Path.cwd())]).encode()
    try:
        socket.send_fds(server, [request], [output, errors, write])
        pid = int(server.recv(100))
    finally:
        os.close(write)
    return Forked(pid, read)


def install() -> None:
    """Let each process of the sandbox that is one of our programs be forked."""
    opened = Process._opened

    def opened_or_forked(
        self: Process, command: Sequence[str | Path], output: IO[bytes], environment: Any, user: int | None
    ) -> Started:
        whole = environment or os.environ
        program = program_of(command, whole)
        if program is None or user is not None:
            return opened(self, command, output, environment, user)
        return forked(program, command, whole, output=output.fileno(), errors=output.fileno())

    Process._opened = opened_or_forked  # type: ignore[method-assign]


def _server_of(program: str) -> socket.socket:
    if program not in _servers:
        _servers[program] = _started(program)
    return _servers[program][0]


def _started(program: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the server of a program, which ends with this process, and what it has forked with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", program, str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours, server


def stop() -> None:
    """End the servers, and what they have forked."""
    while _servers:
        _, (ours, server) = _servers.popitem()
        ours.close()
        server.wait()


class Server:
    """Forks on request, and writes each exit code to the pipe that came with the request."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._endings = dict[int, int]()
        signal.signal(signal.SIGCHLD, self._reap)

    def until_forked(self) -> tuple[str, list[str]]:
        """Return in each process that was forked, with what it is to run. Exits when nobody is left who requests."""
        while True:
            request, files, _, _ = socket.recv_fds(self._requests, LONGEST_REQUEST, 3)
            if not request:
                os._exit(0)
            output, errors, ending = files
            with blocked():
                if not (pid := os.fork()):
                    self._forget(ending)
                    return begun(json.loads(request), output, errors)
                self._endings[pid] = ending
            self._requests.send(str(pid).encode())
            os.close(output)
            os.close(errors)

    def _forget(self, ending: int) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        for other in (ending, *self._endings.values()):
            os.close(other)

    def _reap(self, _signal: int, _frame: FrameType | None) -> None:
        while self._endings:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ending = self._endings.pop(pid)
            # Whoever started it may have forgotten it.
            with suppress(BrokenPipeError):
                os.write(ending, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(ending)


def begun(request: Any, output: int, errors: int) -> tuple[str, list[str]]:
    """Make the process what a new one would be."""
    module, arguments, environment, folder = request
    os.setsid()
    end_with_owner()
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.close(output)
    os.close(errors)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.path[0] = folder
    return module, arguments


def end_with_owner() -> None:
    """Let the kernel kill this process with the one that started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def blocked() -> Iterator[None]:
    """No child is reaped meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def prepare(program: str) -> None:
    """Import what the program's commands need."""
    main = importlib.import_module(PROGRAMS[program])
    for where, _ in getattr(main, "COMMANDS", {}).values():
        importlib.import_module(where.partition(":")[0])
    # It is to be run.
    sys.modules.pop(f"{program}.__main__", None)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    prepare(sys.argv[1])
    module, arguments = Server(socket.socket(fileno=int(sys.argv[2]))).until_forked()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
