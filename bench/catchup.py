"""What somebody who was away gets per second, beside Autobahn pushing as many texts of that size."""

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from bench.chat import SYNC, SYNCED, open_live
from bench.connection import Connection
from bench.database import check_stored
from bench.errors import BenchError, Violation
from bench.findings import Findings, Turns, at_least, share_rows, with_target
from bench.frames import frame
from bench.lanes import ChatLane, Samples, read_number
from bench.load import Load
from bench.opening import open_connections
from bench.poller import Poller
from bench.processes import Share
from bench.servers import Chatd, Echo, Server
from bench.stage import Stage

_PART = "catch-up"
_READER = "somebody-away"
_PREPARE_IN_FLIGHT = 40
_PREPARED_WITHIN_S = 240.0
_WITHIN_S = 60.0
_CREATED = b'{"type":"message.created"'
_CONVERSATION = b'"conversation":"'
_UUID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """One pass from the beginning to the end. ``bytes`` is all that came, framing included."""

    events: int
    seconds: float
    bytes: int
    shares: tuple[Share, ...]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


def run(stage: Stage) -> Findings:
    """Write once; then let the reader come back, from the beginning each time, in turns with the other side."""
    turns = Turns()
    options = stage.options
    size = options.body_bytes + 250
    with ExitStack() as stack:
        chatd = echo = None
        if stage.measures("chatd"):
            chatd, dsn = stack.enter_context(stage.chatd())
            _write(stage, chatd, dsn)
        if stage.measures("echo"):
            echo = stack.enter_context(stage.echo())
        for number in stage.rounds:
            if chatd is not None:
                caught_up = _come_back(chatd, options.conversations, _each(stage))
                size = caught_up.bytes // caught_up.events
                _note(stage, turns, number, "chatd", caught_up)
            if echo is not None:
                _note(stage, turns, number, "echo", _be_pushed(echo, options.missed, size))
    rows = (
        with_target(
            turns.row("events/s", _PART, lambda caught_up: caught_up.rate),
            ">= 50,000/s",
            lambda row: at_least(row.chatd, 50_000),
        ),
        *share_rows(turns, _PART),
    )
    about = f"{options.missed} missed messages in {options.conversations} conversations, synced from 0 on a new socket"
    return Findings("catchup", about, rows, turns.rounds)


def _each(stage: Stage) -> int:
    return max(1, stage.options.missed // stage.options.conversations)


def _note(stage: Stage, turns: Turns, number: int, side: str, caught_up: CaughtUp) -> None:
    turns.add(number, side, _PART, caught_up)
    stage.say(f"catchup {number}/{stage.options.rounds}: {side} {caught_up.rate:,.0f} events/s")


def _write(stage: Stage, server: Chatd, dsn: str) -> None:
    options, samples = stage.options, Samples()
    stage.say(f"catchup: writing {options.missed} messages first")
    with open_live(server, [f"writer-{i}" for i in range(options.conversations)]) as opened:
        lanes = [ChatLane(writer, None, _READER, options.body_bytes, samples) for writer in opened.connections]
        load = Load(lanes, samples, server.meter())
        load.exactly(_each(stage), _PREPARE_IN_FLIGHT, within=_PREPARED_WITHIN_S)
        load.close()
    check_stored(dsn, sum(lane.sent for lane in lanes))


class _Reading(ABC):
    """One connection that counts what comes until ``done``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.events = 0
        self.bytes = 0
        self.done = False

    def read(self) -> None:
        """There is something to read."""
        batch = self._connection.receive()
        self.bytes += len(batch.data) - len(batch.rest)
        self.take(batch.data, batch.spans)

    @abstractmethod
    def take(self, data: bytes, spans: list[tuple[int, int]]) -> None:
        """Count these messages."""


class _Resuming(_Reading):
    """Counts events by conversation; raises Violation where a ``seq`` is missing, or comes twice."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.logs: Counter[bytes] = Counter()

    def take(self, data: bytes, spans: list[tuple[int, int]]) -> None:
        logs = self.logs
        for start, stop in spans:
            if data.startswith(SYNCED, start):
                self.done = True
                continue
            self.events += 1
            if data.startswith(_CREATED, start):
                at = data.index(_CONVERSATION, start, stop) + len(_CONVERSATION)
                conversation = data[at : at + _UUID_LENGTH]
                logs[conversation] += 1
                if read_number(data, b'"seq":', start, stop) != logs[conversation]:
                    raise Violation(f"seq {logs[conversation]} was expected: {data[start:stop][:200]!r}")


class _Pushed(_Reading):
    """Counts up to ``expected`` texts."""

    def __init__(self, connection: Connection, expected: int) -> None:
        super().__init__(connection)
        self._expected = expected

    def take(self, data: bytes, spans: list[tuple[int, int]]) -> None:
        self.events += len(spans)
        self.done = self.events >= self._expected


def _come_back(server: Server, conversations: int, each: int) -> CaughtUp:
    with open_connections(server.entrance, [server.request(_READER)]) as opened:
        reading = _Resuming(opened.connections[0])
        caught_up = _time(server, opened.connections[0], SYNC, reading)
    if sorted(reading.logs.values()) != [each] * conversations:
        raise Violation(f"{conversations} times {each} messages were missed, and {sorted(reading.logs.values())} came")
    return caught_up


def _be_pushed(server: Echo, count: int, size: int) -> CaughtUp:
    with open_connections(server.entrance, [server.request("")]) as opened:
        ask = frame(b"push:%d:%d" % (count, size))
        return _time(server, opened.connections[0], ask, _Pushed(opened.connections[0], count))


def _time(server: Server, connection: Connection, ask: bytes, reading: _Reading) -> CaughtUp:
    poller, meter = Poller(), server.meter()
    poller.watch(connection, reading.read)
    usage, begun = meter.read(), perf_counter()
    try:
        connection.send(ask)
        while not reading.done:
            if perf_counter() - begun > _WITHIN_S:
                raise BenchError(f"{reading.events} events came within {_WITHIN_S:.0f} s, and no end")
            poller.wait(1.0)
    finally:
        poller.close()
    seconds = perf_counter() - begun
    return CaughtUp(reading.events, seconds, reading.bytes, meter.shares(usage, seconds))
