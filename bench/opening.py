"""Opening many connections at once, and timing it."""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Self

from bench.connection import Connection
from bench.errors import BenchError
from bench.poller import Poller

AT_ONCE = 32
"""Handshakes under way at a time: fewer than a listening socket's usual backlog of 50."""
_STALLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where to connect. With a ``greeting``, a connection is open when a text that contains it has come."""

    port: int
    greeting: bytes = b""


class Opened(AbstractContextManager["Opened"]):
    """Open connections, in the order of their requests; closed at the end of the block."""

    def __init__(self, connections: Sequence[Connection], seconds: float, latencies: Sequence[float]) -> None:
        self.connections = connections
        self.seconds = seconds
        self.latencies = latencies

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self.connections:
            connection.close()


def open_connections(entrance: Entrance, requests: Sequence[bytes], at_once: int = AT_ONCE) -> Opened:
    """One connection for each upgrade request. Raises BenchError if one fails or nothing happens for ten seconds."""
    return _Opener(entrance, requests).run(at_once)


class _Opener:
    def __init__(self, entrance: Entrance, requests: Sequence[bytes]) -> None:
        self._entrance = entrance
        self._waiting = deque(requests)
        self._wanted = len(requests)
        self._poller = Poller()
        self._connections: list[Connection] = []
        self._latencies: list[float] = []

    def run(self, at_once: int) -> Opened:
        begun = perf_counter()
        try:
            for _ in range(min(at_once, self._wanted)):
                self._begin()
            self._finish()
        except BaseException:
            for connection in self._connections:
                connection.close()
            raise
        finally:
            self._poller.close()
        return Opened(self._connections, perf_counter() - begun, self._latencies)

    def _finish(self) -> None:
        seen, deadline = 0, perf_counter() + _STALLED_S
        while len(self._latencies) < self._wanted:
            self._poller.wait(1.0)
            if len(self._latencies) > seen:
                seen, deadline = len(self._latencies), perf_counter() + _STALLED_S
            elif perf_counter() > deadline:
                raise BenchError(f"{seen} of {self._wanted} connections opened, then none for {_STALLED_S:.0f} s")

    def _begin(self) -> None:
        begun = perf_counter()
        connection = Connection(self._entrance.port, self._waiting.popleft())
        self._connections.append(connection)

        def connected() -> None:
            connection.connected()
            self._poller.watch(connection, readable)

        def readable() -> None:
            if self._is_open(connection):
                self._latencies.append(perf_counter() - begun)
                self._poller.forget(connection)
                if self._waiting:
                    self._begin()

        self._poller.watch_connect(connection, connected)

    def _is_open(self, connection: Connection) -> bool:
        greeting = self._entrance.greeting
        if connection.is_open:
            batch = connection.receive()
        elif connection.handshake() and greeting:
            batch = connection.waiting()
        else:
            return connection.is_open
        if not batch.spans:
            return False
        if len(batch.spans) > 1 or greeting not in batch.data:
            raise BenchError(f"instead of a greeting: {batch.data[:200]!r}")
        return True
