"""Worker processes, as the parent starts them and talks with them."""

# Twisted's process classes are only partly annotated.
# mypy: allow-untyped-calls

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IAddress, IProcessTransport
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.records.condition import Dependency
from chatd.workers.control import Begin, Channel, Family, Logged, Look, Measure, Measured, Status, Stop
from chatd.workers.orders import Order
from chatd.workers.relay import publish
from chatd.workers.run import Watcher

log = Logger()

PROGRAM = ("-P", "-m", "chatd.child")
"""-P: what is imported does not depend on the folder that chatd was started in."""
CONTROL = 3
FIRST_SOCKET = 4
NOT_HANDED_ON = frozenset(
    {"CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID"}
    | {"WATCHDOG_USEC"}
)
"""What systemd says to the parent alone."""
LONGEST_LINE = 2**16


class WorkerProcess(ProcessProtocol):
    """One worker process: a :class:`~chatd.workers.run.Process`.

    It is told its order at once, and answers when its interpreter has come so far. What it writes past its log, such
    as a traceback from before there is a log, is logged line by line.
    """

    transport: IProcessTransport

    def __init__(self, number: int, watcher: Watcher) -> None:
        self.number = number
        self._watcher = watcher
        self._channel: Channel | None = None
        self._rest = b""
        self.dependencies: Mapping[str, Dependency] = {}
        self._numbers = count(1)
        self._measuring: dict[int, Deferred[tuple[Family, ...]]] = {}

    def begin(self, channel: Channel, order: Order, descriptors: Sequence[int]) -> None:
        """``channel`` leads to the process, which was just spawned."""
        self._channel = channel
        channel.tell(Begin(worker=self.number, order=order, descriptors=tuple(descriptors)))

    # -- as a slot and the overview use it --

    @property
    def pid(self) -> int:
        return self._pid

    def makeConnection(self, process: IProcessTransport) -> None:
        """It runs. Its id is kept: the transport forgets it when the process is reaped."""
        self._pid: int = process.pid
        super().makeConnection(process)

    def look(self) -> None:
        """See :class:`~chatd.workers.run.Process`."""
        if self._channel is not None:
            self._channel.tell(Look())

    def stop(self) -> None:
        """See :class:`~chatd.workers.run.Process`."""
        if self._channel is not None:
            self._channel.tell(Stop())

    def kill(self) -> None:
        """See :class:`~chatd.workers.run.Process`."""
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            log.debug("process {pid} has ended already", pid=self._pid)

    def measure(self) -> Deferred[tuple[Family, ...]]:
        """Its figures; cancelled by who has waited long enough, and where it ends meanwhile."""
        number = next(self._numbers)
        measured: Deferred[tuple[Family, ...]] = Deferred(lambda _: self._forget(number))
        self._measuring[number] = measured
        if self._channel is None:
            measured.cancel()
        else:
            self._channel.tell(Measure(number=number))
        return measured

    def _forget(self, number: int) -> None:
        self._measuring.pop(number, None)

    # -- what comes over the channel --

    def heard(self, message: Status | Measured | Logged) -> None:
        """See :class:`~chatd.workers.control.Listener`."""
        if isinstance(message, Status):
            self.dependencies = message.dependencies
            self._watcher.answered(message.ready)
        elif isinstance(message, Logged):
            publish(self.number, self._pid, message)
        else:
            waiting = self._measuring.pop(message.number, None)
            if waiting is not None:
                waiting.callback(message.families)

    def hung_up(self) -> None:
        """See :class:`~chatd.workers.control.Listener`. That the process ends is seen by itself."""
        self._channel = None
        for waiting in list(self._measuring.values()):
            waiting.cancel()

    def congested(self, congested: bool) -> None:
        """See :class:`~chatd.workers.control.Listener`. What is said to a worker is little."""

    # -- what the process does --

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._rest) > LONGEST_LINE:
            self._log(self._rest)
            self._rest = b""

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        log.error("worker {n} (process {pid}) writes: {text}", n=self.number, pid=self._pid, text=text)

    def processEnded(self, reason: Failure) -> None:
        if self._rest:
            self._log(self._rest)
        if self._channel is not None:
            self._channel.close()
        cause = reason.value
        assert isinstance(cause, ProcessDone | ProcessTerminated)
        how = f"exit status {cause.exitCode}" if cause.signal is None else f"signal {cause.signal}"
        self._watcher.ended(how, cause.exitCode == 0)


class _ToWorker(Factory):
    """The parent's end of one channel."""

    noisy = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return self._channel


class Spawner:
    """Starts workers. ``sockets`` are those that the worker of a number listens on."""

    def __init__(
        self, reactor: Any, sockets: Callable[[int], Sequence[socket.socket]], environ: Mapping[str, str]
    ) -> None:
        self._reactor = reactor
        self._sockets = sockets
        self._environment = environment(environ, sys.path)

    def spawn(self, number: int, order: Order, watcher: Watcher) -> WorkerProcess:
        """See :data:`~chatd.workers.run.Spawn`."""
        process = WorkerProcess(number, watcher)
        channel = Channel.of_parent(process)
        descriptors = {FIRST_SOCKET + n: one.fileno() for n, one in enumerate(self._sockets(number))}
        ours, theirs = socket.socketpair()
        with ours, theirs, open(os.devnull, "rb") as nothing:
            ours.setblocking(False)
            # First, since a process that runs without a channel could only be killed.
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _ToWorker(channel))
            files = {0: nothing.fileno(), 1: "r", 2: "r", CONTROL: theirs.fileno(), **descriptors}
            command = [sys.executable, *PROGRAM]
            try:
                self._reactor.spawnProcess(process, command[0], command, env=self._environment, childFDs=files)
            except OSError:
                channel.close()
                raise
        process.begin(channel, order, list(descriptors))
        return process


def environment(environ: Mapping[str, str], path: Sequence[str]) -> dict[str, str]:
    """What workers inherit: no settings, among which there may be secrets, and nothing that is for the parent alone."""
    kept = {
        name: value for name, value in environ.items() if not name.startswith("CHATD_") and name not in NOT_HANDED_ON
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in path)}
