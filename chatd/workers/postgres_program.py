"""One of PostgreSQL's programs as a child process: what it wrote and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from chatd.workers.postgres_account import environment

_TELLING = ("error:", "FATAL:", "PANIC:", "ERROR:")


@dataclass(frozen=True, slots=True)
class Ending:
    """``how`` is ``exit status 1`` or ``signal 9``."""

    success: bool
    how: str


def telling_line(output: str) -> str:
    """The line of a program's output that says what went wrong: the first that calls itself an error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if any(word in line for word in _TELLING):
            return line
    return lines[-1] if lines else "it wrote nothing"


class Program(ProcessProtocol):
    """Writes ``stdin``, keeps what comes back, and fires ``ended`` when the process is gone and reaped."""

    def __init__(self, stdin: bytes = b"") -> None:
        self.ended: Deferred[Ending] = Deferred()
        self.ending: Ending | None = None
        self._stdin = stdin
        self._output = bytearray()

    @property
    def output(self) -> str:
        return self._output.decode("utf-8", "replace")

    @property
    def process(self) -> IProcessTransport:
        """The running process, after spawnProcess has returned."""
        transport = self.transport
        assert transport is not None
        return transport

    def connectionMade(self) -> None:
        if self._stdin:
            self.process.write(self._stdin)
        self.process.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._output += data

    def errReceived(self, data: bytes) -> None:
        self._output += data

    def processEnded(self, reason: Failure) -> None:
        cause = reason.value
        assert isinstance(cause, ProcessDone | ProcessTerminated)
        how = f"exit status {cause.exitCode}" if cause.signal is None else f"signal {cause.signal}"
        self.ending = Ending(success=cause.exitCode == 0, how=how)
        self.ended.callback(self.ending)


def spawn(
    program: Program, command: list[str], reactor: IReactorProcess, files: Mapping[int, int] | None = None
) -> None:
    """Start it, with pipes to and from ``program``, or with these of our descriptors as its ``files``."""
    pipes: dict[int, str | int] = {0: "w", 1: "r", 2: "r"}
    # Nobody but root may enter root's working directory, so every program starts in one that is open to all.
    reactor.spawnProcess(
        program, command[0], command, env=environment(), path="/", childFDs=pipes if files is None else dict(files)
    )
