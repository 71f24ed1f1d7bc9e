"""The real server with several workers: ``twistd chatd --workers N``."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests.kit.clients import HttpClient
from tests.kit.ports import reserve_port
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import WITHIN_S, wait_for


class WorkersServer(Server):
    """A parent and its workers. It is ready when all of them are; health and figures stand on a port of their own."""

    def __init__(
        self,
        folder: Path,
        dsn: str,
        auth: AuthService,
        workers: int,
        settings: Sections | None = None,
        *,
        scheme: str = "http",
    ) -> None:
        self._scheme = scheme
        self.number_of_workers = workers
        self._overview = reserve_port()
        super().__init__(folder, dsn, auth, settings)

    def configure(self, settings: Sections) -> None:
        """Write its file of settings anew, which a running server does not look at until it is told to reload."""
        port = self._overview.getsockname()[1]
        top = {"workers": self.number_of_workers, **settings.get("", {})}
        self._socket = top.get("socket")
        super().configure({**settings, "": top, "metrics": {**settings.get("metrics", {}), "port": port}})

    @property
    def overview(self) -> HttpClient:
        """Asks the parent."""
        return HttpClient(f"http://{self.host}:{self._overview.getsockname()[1]}")

    def ready(self) -> bool:
        """Whether all workers are ready."""
        try:
            return self.overview.get("/readyz").status == 200
        except OSError:
            return False

    @property
    def workers(self) -> list[int]:
        """The process ids of all worker processes that this parent has now, also of those that leave."""
        return children(self.pid)

    def worker(self, number: int) -> int:
        """The process id of the worker of this number that became ready last."""
        return int(re.findall(rf"worker {number} is ready: process (\d+)\b", self.log)[-1])

    @property
    def address(self) -> str:
        """Where it says that it serves."""
        return f"unix:{self._socket}" if self._socket else f"{self._scheme}://{self.host}:{self.port}"

    def reload_all(self) -> None:
        """Tell it to reload; return when all workers have been replaced and their predecessors are gone."""
        before, seen = set(self.workers), len(self.log)
        self.reload()
        wait_for(lambda: "all workers have been replaced" in self.log[seen:] and not before & set(self.workers))

    def figures(self, name: str) -> dict[int, float]:
        """What each worker says of this figure."""
        found = re.findall(rf'^{name}{{worker="(\d+)"}} (\S+)$', self.metrics(), re.MULTILINE)
        return {int(number): float(value) for number, value in found}

    def metrics(self) -> str:
        """All figures of all workers."""
        connection = HTTPConnection(self.host, self._overview.getsockname()[1], timeout=WITHIN_S)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def close(self) -> None:
        """Leave no process behind."""
        super().close()
        self._overview.close()


def children(parent: int) -> list[int]:
    """The process ids of the worker processes of this parent."""
    return [pid for pid in _processes() if _is_worker_of(pid, parent)]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """This process does not run meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def gone(pid: int) -> bool:
    """Whether this process has ended, and was reaped or waits for that."""
    try:
        return _stat(pid)[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def processor_seconds(pid: int) -> float:
    """What this process has used of the processor so far (proc(5), utime and stime)."""
    return sum(map(int, _stat(pid)[11:13])) / os.sysconf("SC_CLK_TCK")


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_worker_of(pid: int, parent: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"chatd.child" in command and int(_stat(pid)[1]) == parent
    except (FileNotFoundError, ProcessLookupError):
        return False


def _stat(pid: int) -> list[str]:
    """The state of a process, its parent, and so on (proc(5), behind the name in parentheses)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
