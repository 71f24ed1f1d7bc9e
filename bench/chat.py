"""Connections to chatd that are live: authenticated and synced."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter

from bench.connection import Connection
from bench.errors import BenchError
from bench.frames import frame
from bench.opening import AT_ONCE, Opened, open_connections
from bench.poller import Poller
from bench.servers import Server

SYNC = frame(b'{"id":1,"type":"sync"}')
SYNCED = b'{"id":1,"type":"ok"'
_WITHIN_S = 30.0


def open_live(server: Server, users: Sequence[str]) -> Opened:
    """A live connection for each of these people, who have missed nothing."""
    opened = open_connections(server.entrance, [server.request(user) for user in users])
    try:
        go_live(opened.connections)
    except BaseException:
        opened.__exit__(None, None, None)
        raise
    return opened


def go_live(connections: Sequence[Connection]) -> None:
    """Sync on each connection, on a few at a time, as they were opened: all at once would leave its mark on the
    server's memory. Raises BenchError where the answer is anything but a plain ok.
    """
    for first in range(0, len(connections), AT_ONCE):
        _sync(connections[first : first + AT_ONCE])


def _sync(connections: Sequence[Connection]) -> None:
    poller = Poller()
    waiting = set(connections)

    def answered(connection: Connection) -> None:
        batch = connection.receive()
        for start, stop in batch.spans:
            if not batch.data.startswith(SYNCED, start):
                raise BenchError(f"instead of an answer to sync: {batch.data[start:stop][:300]!r}")
            waiting.discard(connection)

    try:
        for connection in connections:
            poller.watch(connection, partial(answered, connection))
            connection.send(SYNC)
        deadline = perf_counter() + _WITHIN_S
        while waiting:
            if perf_counter() > deadline:
                raise BenchError(f"{len(waiting)} connections were not synced within {_WITHIN_S:.0f} s")
            poller.wait(1.0)
    finally:
        poller.close()
