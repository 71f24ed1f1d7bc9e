"""Servers that need not import anything: one process has done that, and bears each of them by a fork.

Importing takes most of a server's start, and the suite starts hundreds. What runs is what ``python -m
tests.kit.twistd`` runs, in a process of its own, with the same folder, environment and files.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from runpy import run_module
from threading import Lock

PROGRAM = "tests.kit.twistd"
IMPORTED = ("chatd.tap", "twisted.plugins.chatd_plugin", "twisted.scripts.twistd")
"""None of it installs a reactor: that has a file descriptor, which no two processes may share."""

LONGEST_REQUEST = 2**16
PR_SET_PDEATHSIG = 1


class Born:
    """A process from the nursery, to be dealt with like a ``subprocess.Popen``."""

    def __init__(self, guardian: socket.socket) -> None:
        self._guardian = guardian
        self.returncode: int | None = None
        self.pid = int(self._hear())

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Its exit code, when it has ended; TimeoutExpired if it has not within so many seconds."""
        if (code := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired(PROGRAM, timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._guardian], [], [], seconds)[0]:
            self.returncode = int(self._hear())
            self._guardian.close()
        return self.returncode

    def _hear(self) -> bytes:
        said = self._guardian.recv(64)
        assert said, "the nursery is gone"
        return said


class Nursery:
    """The process that bears them. It ends with the one that made it, whichever way that ends, and they with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = Lock()
        self._control, theirs = _pair()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            root = Path(__file__).parent.parent.parent
            self._process = subprocess.Popen(command, cwd=root, env=environment, pass_fds=[theirs.fileno()])

    def bear(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: int) -> Born:
        """Have a server with these arguments run in this folder, writing to ``log``."""
        request = json.dumps({"arguments": arguments, "folder": str(folder), "environment": dict(environment)})
        ours, theirs = _pair()
        with theirs, self._lock:
            socket.send_fds(self._control, [request.encode()], [log, theirs.fileno()])
        return Born(ours)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two ends; what is sent arrives whole, and nothing once the other end is closed."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _guard(request: bytes, log: int, ending: int) -> None:
    """In a fork of the nursery's: have the server run in a fork of this one's, and say when it has ended and how."""
    _end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _run(json.loads(request), log)
        return
    with socket.socket(fileno=ending) as told:
        told.send(b"%d" % pid)
        told.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _run(request: Mapping[str, object], log: int) -> None:
    """Be the server."""
    _end_with_parent()
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.argv[1:] = request["arguments"]
    run_module(PROGRAM, run_name="__main__", alter_sys=True)


def main(control: socket.socket) -> None:
    """Bear servers until nobody is there to ask for them."""
    for module in IMPORTED:
        __import__(module)
    assert "twisted.internet.reactor" not in sys.modules
    # Whoever ends is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 2)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            return _guard(request, *files)
        for file in files:
            os.close(file)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
