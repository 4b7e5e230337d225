"""A process that has imported what the commands import, and forks one child for each command.

Starting Python and importing costs half a second of processor, a command itself a
tenth of it; a child differs from `python -m maftia …` in that only.  Run as a
program it takes commands from the socket that is its stdin.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

MESSAGE_SIZE_BYTES_MAX = 64 * 1024
PREPARED = ("certificates", "status", "csr", "authorization", "admin", "history", "log")


class Prepared:
    """The parent's side."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs)
        """ends when this process does, as its stdin does"""
        theirs.close()
        self._socket = ours

    def begin(self, module: str, arguments: list[str], cwd: Path, environment: dict[str, str]) -> Begun:
        """Run `python -m MODULE ARGUMENTS`, as good as."""
        out, err, end = os.memfd_create("out"), os.memfd_create("err"), os.pipe()
        message = json.dumps([module, arguments, str(cwd), environment]).encode()
        assert len(message) < MESSAGE_SIZE_BYTES_MAX
        socket.send_fds(self._socket, [message], [out, err, end[1]])
        os.close(end[1])
        return Begun(out, err, end[0])


class Begun:
    """A command under way."""

    def __init__(self, out: int, err: int, end: int) -> None:
        self._out, self._err, self._end = out, err, end

    def join(self, timeout_s: float) -> tuple[int, str, str]:
        """Its exit code and what it printed, once it has ended."""
        if not select.select([self._end], [], [], timeout_s)[0]:
            raise subprocess.TimeoutExpired("a prepared command", timeout_s)
        code = int(os.read(self._end, 16))
        printed = []
        for descriptor in (self._out, self._err):
            os.lseek(descriptor, 0, os.SEEK_SET)
            with os.fdopen(descriptor) as file:
                printed.append(file.read())
        os.close(self._end)
        return code, printed[0], printed[1]


def serve() -> None:
    """The child's side: until the parent is gone."""
    for module in ("dealer.cli", "maftia.cli.app", *(f"maftia.cli.{name}" for name in PREPARED)):
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    commands = socket.socket(fileno=0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(commands, MESSAGE_SIZE_BYTES_MAX, 3)
        if not message:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(message, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(message: bytes, out: int, err: int, end: int) -> NoReturn:
    """Have a child be the command, and tell how it ended."""
    child = os.fork()
    if child == 0:
        os.close(end)
        _be(message, out, err)
    _, status = os.waitpid(child, 0)
    os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _be(message: bytes, out: int, err: int) -> NoReturn:
    module, arguments, cwd, environment = json.loads(message)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    code = 1
    try:
        if module == "maftia":
            import maftia.cli

            maftia.cli.main()
        import dealer.cli

        dealer.cli.main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
