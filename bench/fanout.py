"""Messages to a group whose members are all connected, beside Autobahn sending as many texts to as many connections."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.asking import Asker, found_group
from bench.audience import AudienceLane, GroupLane, broadcast
from bench.chat import open_live
from bench.database import check_stored
from bench.echo import EACH, PREPARED
from bench.figures import Latency
from bench.findings import Findings, Row, Turns, at_least, share_rows, with_target
from bench.lanes import Samples
from bench.load import Load
from bench.opening import open_connections
from bench.processes import Share
from bench.servers import Chatd, Echo, Server
from bench.stage import Stage

_FRAMES = "prepared frames"
_SENDS = "plain sends"
_WORDS = {_FRAMES: PREPARED, _SENDS: EACH}
_ENVELOPE_BYTES = 250
"""About what an event of chatd's has around its body, for when chatd itself is left out."""


@dataclass(frozen=True, slots=True)
class FannedOut:
    """One window. ``messages`` reached so many ``members`` each; ``last`` is until the last of them had one."""

    messages: int
    members: int
    seconds: float
    ack: Latency | None
    last: Latency | None
    shares: tuple[Share, ...]

    @property
    def rate(self) -> float:
        """Deliveries per second."""
        return self.messages * self.members / self.seconds


def run(stage: Stage) -> Findings:
    """All sides in turns; each round of chatd's with a new group of new people."""
    turns, options = Turns(), stage.options
    size, stored = options.body_bytes + _ENVELOPE_BYTES, 0
    with ExitStack() as stack:
        chatd = stack.enter_context(stage.chatd()) if stage.measures("chatd") else None
        echo = stack.enter_context(stage.echo()) if stage.measures("echo") else None
        for number in stage.rounds:
            if chatd is not None:
                server, dsn = chatd
                with _group(stage, server, number) as lane:
                    _take_turn(stage, turns, number, "chatd", _FRAMES, lane, server)
                size, stored = lane.text_bytes, stored + lane.sent
                check_stored(dsn, stored)
            for part, word in _WORDS.items() if echo is not None else ():
                with _bare(stage, echo, word, size) as lane:
                    _take_turn(stage, turns, number, "echo", part, lane, echo)
    about = (
        f"{options.members} members connected, {options.senders} of them sending, {options.outstanding} in flight "
        f"each, {options.body_bytes}-byte bodies, {size}-byte events"
    )
    return Findings("fanout", about, tuple(_rows(turns)), turns.rounds)


def _take_turn(
    stage: Stage, turns: Turns, number: int, side: str, part: str, lane: AudienceLane, server: Server
) -> None:
    options, samples = stage.options, lane.samples
    load = Load([lane], samples, server.meter())
    try:
        in_flight = options.senders * options.outstanding
        window = load.closed(in_flight, warm_up=options.warm_up, seconds=options.seconds)
    finally:
        load.close()
    fanned_out = FannedOut(window.messages, options.members, window.seconds, window.ack, window.delivery, window.shares)
    turns.add(number, side, part, fanned_out)
    stage.say(f"fanout {number}/{options.rounds}: {side}, {part}: {fanned_out.rate:,.0f} deliveries/s")


@contextmanager
def _group(stage: Stage, server: Chatd, number: int) -> Iterator[AudienceLane]:
    options = stage.options
    people = [f"member-{number}-{i}" for i in range(options.members)]
    with open_live(server, people) as opened:
        conversation, base = found_group(Asker(opened.connections[0]), people[1:])
        senders, body = options.senders, options.body_bytes
        yield GroupLane(opened.connections, senders, conversation.encode(), base, body, Samples())


@contextmanager
def _bare(stage: Stage, server: Echo, word: bytes, size: int) -> Iterator[AudienceLane]:
    options = stage.options
    with open_connections(server.entrance, [server.request("")] * options.members) as opened:
        yield AudienceLane(opened.connections, options.senders, broadcast(word, size), Samples())


def _rows(turns: Turns) -> Iterator[Row]:
    rate = turns.row("deliveries/s; Autobahn, prepared frames", _FRAMES, _rate)
    yield with_target(rate, "ratio >= 0.8", lambda row: at_least(row.ratio, 0.8))
    yield turns.row("deliveries/s; Autobahn, plain sends", _FRAMES, _rate, _SENDS)
    yield turns.row("ack p50 ms", _FRAMES, lambda window: window.ack and window.ack.p50)
    yield turns.row("last delivery p50 ms", _FRAMES, lambda window: window.last and window.last.p50)
    yield turns.row("last delivery p99 ms", _FRAMES, lambda window: window.last and window.last.p99)
    yield from share_rows(turns, _FRAMES)


def _rate(window: FannedOut) -> float:
    return window.rate
