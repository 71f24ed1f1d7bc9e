"""Worker processes in memory: a test says when they are ready, whether they answer, and when they end."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.settings.base import Secret
from chatd.settings.issuers import IssuerSettings
from chatd.settings.model import Settings
from chatd.workers.control import Family
from chatd.workers.orders import Credentials, Order, TrustedIssuer
from chatd.workers.run import TICK_S, Watcher


def order(name: str = "first", settings: Settings | None = None) -> Order:
    """What workers are told; ``name`` tells one order from another."""
    nothing = Secret()
    return Order(
        settings=settings or Settings(),
        credentials=Credentials(
            issuers=(TrustedIssuer(configured=IssuerSettings(name=name, audience="chat"), keys=nothing),),
            authorities=nothing,
            master_keys=nothing,
            dsn=nothing,
            certificate=nothing,
            tls_key=nothing,
        ),
    )


class MemoryProcess:
    """One process. It answers when it is looked at, unless it ``hangs``; told to stop, it ends when a test says so."""

    def __init__(self, pid: int, number: int, order: Order, watcher: Watcher) -> None:
        self.pid = pid
        self.number = number
        self.order = order.credentials.issuers[0].configured.name
        self.ready = False
        self.hangs = False
        self.told_to_stop = 0
        self.killed = 0
        self._watcher = watcher
        self.gone = False

    def look(self) -> None:
        if not self.hangs and not self.gone:
            self._watcher.answered(self.ready)

    def stop(self) -> None:
        self.told_to_stop += 1

    def kill(self) -> None:
        self.killed += 1
        self.end("signal 9")

    def measure(self) -> Deferred[tuple[Family, ...]]:
        return Deferred()

    def end(self, how: str = "exit status 0") -> None:
        """Let it end."""
        assert not self.gone, "it has ended before"
        self.gone = True
        self._watcher.ended(how, how == "exit status 0")


class MemorySpawner:
    """Starts such processes; with ``fails`` the system gives none."""

    def __init__(self) -> None:
        self.processes: list[MemoryProcess] = []
        self.fails = False

    def spawn(self, number: int, order: Order, watcher: Watcher) -> MemoryProcess:
        if self.fails:
            raise OSError(11, "Resource temporarily unavailable")
        self.processes.append(MemoryProcess(len(self.processes) + 100, number, order, watcher))
        return self.processes[-1]

    @property
    def living(self) -> Sequence[MemoryProcess]:
        return [process for process in self.processes if not process.gone]

    @property
    def last(self) -> MemoryProcess:
        return self.processes[-1]


def tick(clock: Clock, times: int = 1) -> None:
    """Let so many looks pass."""
    clock.pump([TICK_S] * times)
