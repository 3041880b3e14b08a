"""A process that has imported our commands, and forks one for each request: `tests/commands.py` asks it.

A command as a new process would spend most of its time on imports. A fork is a process all the same: it has its own
memory, exit code and output, and ends as `python -m` does.

Each octet on the standard input, a socket, brings four descriptors: the request as JSON, the command's output and
errors, and where its exit code goes. The process ends when its owner closes that socket.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

MODULES = ("producer", "hubspot_consumer")
# The worker's imports include Faust, which prepares the process for a worker.
NOT_IMPORTED = ("hubspot_consumer.cli.run_worker",)


def import_commands() -> None:
    """Import what the commands import, as their first lines do."""
    importlib.import_module("runtime.kafka.clients")
    for module in MODULES:
        for place, _ in importlib.import_module(f"{module}.__main__").COMMANDS.values():
            name = place.partition(":")[0]
            if name not in NOT_IMPORTED:
                importlib.import_module(name)
        # The command runs it anew, as `__main__`.
        del sys.modules[f"{module}.__main__"]


def next_command(owner: socket.socket) -> dict[str, Any]:
    """Return the next request, in a process of its own. Without a next one the process ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Ctrl-C is for the owner, which then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        octet, descriptors, _, _ = socket.recv_fds(owner, 1, 4)
        if not octet:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    # This process waits for the command, so that its owner can go on with the next.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    owner.close()
    request, output, errors, ended = descriptors
    if command := os.fork():
        for descriptor in (request, output, errors):
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        with suppress(BrokenPipeError):
            os.write(ended, str(code).encode())
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.close(ended)
    with os.fdopen(request) as file:
        asked: dict[str, Any] = json.load(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return asked


if __name__ == "__main__":
    import_commands()
    gc.freeze()
    asked = next_command(socket.socket(fileno=os.dup(0)))
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["arguments"]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
