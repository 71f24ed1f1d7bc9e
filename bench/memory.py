"""What an idle connection costs in memory, beside Autobahn's."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from bench.chat import go_live
from bench.findings import Findings, Turns, at_most, with_target
from bench.opening import open_connections
from bench.processes import resident
from bench.servers import Server
from bench.stage import Stage

_PART = "idle"
_WARM_UP = 200
# For the server to notice that the warm-up's connections have gone, or to finish what opening began.
_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Idle:
    """Resident bytes of a server's process: before, with so many connections open, and with all of them live."""

    connections: int
    base: int
    opened: int
    live: int | None

    @property
    def each_opened(self) -> float:
        """KiB for each connection that is authenticated, or that has shaken hands with bare Autobahn."""
        return (self.opened - self.base) / self.connections / 1024

    @property
    def each_live(self) -> float | None:
        """KiB for each connection that has synced as well."""
        return None if self.live is None else (self.live - self.base) / self.connections / 1024


def run(stage: Stage) -> Findings:
    """Both sides in turns, each time with a new process."""
    turns = Turns()
    options = stage.options
    for number in stage.rounds:
        for side in options.sides:
            with ExitStack() as stack:
                idle = _fill(_start(stage, stack, side), options.idle)
            turns.add(number, side, _PART, idle)
            stage.say(f"memory {number}/{options.rounds}: {side} {idle.each_opened:.1f} KiB a connection")
    rows = (
        with_target(
            turns.row("KiB a connection", _PART, lambda idle: idle.each_opened),
            "<= 12 KiB",
            lambda row: at_most(row.chatd, 12.0),
        ),
        turns.row("KiB, synced as well", _PART, lambda idle: idle.each_live),
        turns.row("MiB of the process before", _PART, lambda idle: idle.base / 2**20),
    )
    about = f"{options.idle} idle connections, no compression; resident memory of the server's process"
    return Findings("memory", about, rows, turns.rounds)


def _start(stage: Stage, stack: ExitStack, side: str) -> Server:
    if side == "chatd":
        return stack.enter_context(stage.chatd())[0]
    return stack.enter_context(stage.echo())


def _fill(server: Server, count: int) -> Idle:
    with open_connections(server.entrance, [server.request(f"warm-{i}") for i in range(_WARM_UP)]):
        pass
    time.sleep(_REST_S)
    base, live = resident(server.pid), None
    requests = [server.request(f"person-{i}") for i in range(count)]
    with open_connections(server.entrance, requests) as connections:
        time.sleep(_REST_S)
        opened = resident(server.pid)
        if server.entrance.greeting:
            go_live(connections.connections)
            time.sleep(_REST_S)
            live = resident(server.pid)
    return Idle(count, base, opened, live)
