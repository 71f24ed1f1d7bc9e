"""Messages from one person to another, durable, acknowledged and delivered, beside Autobahn's echo."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.chat import open_live
from bench.database import check_stored
from bench.findings import Findings, Row, Turns, at_least, at_most, share_rows, with_target
from bench.lanes import ChatLane, EchoLane, Samples
from bench.load import Load, Measured
from bench.opening import open_connections
from bench.servers import Chatd, Echo
from bench.stage import Stage

FULL = "full load"
QUARTER = "a quarter of it"
FEW = "25 pairs, one in flight"
_FEW_PAIRS = 25
_PARTS = {FULL: "full", QUARTER: "1/4 load", FEW: "25 x 1"}


def run(stage: Stage) -> Findings:
    """Both sides in turns; each round of chatd's with people who have not met before."""
    turns = Turns()
    options = stage.options
    with ExitStack() as stack:
        chatd = stack.enter_context(stage.chatd()) if stage.measures("chatd") else None
        echo = stack.enter_context(stage.echo()) if stage.measures("echo") else None
        stored = 0
        for number in stage.rounds:
            if chatd is not None:
                server, dsn = chatd
                with _chat(stage, server, number) as (load, lanes):
                    _take_turn(stage, turns, number, "chatd", load)
                    stored += sum(lane.sent for lane in lanes)
                check_stored(dsn, stored)
            if echo is not None:
                with _echo(stage, echo) as load:
                    _take_turn(stage, turns, number, "echo", load)
    about = (
        f"{options.pairs} pairs, {options.in_flight} messages in flight each, {options.body_bytes}-byte bodies; "
        f"echo: {options.pairs} connections"
    )
    return Findings("direct", about, tuple(_rows(turns)), turns.rounds)


def _take_turn(stage: Stage, turns: Turns, number: int, side: str, load: Load) -> None:
    options = stage.options
    warm_up, seconds = options.warm_up, options.seconds
    full = load.closed(options.in_flight, warm_up=warm_up, seconds=seconds)
    stage.say(f"direct {number}/{options.rounds}: {side} {full.rate:,.0f} messages/s")
    quarter = load.paced(max(full.rate / 4, 1.0), warm_up=warm_up / 2, seconds=seconds)
    few = load.closed(1, lanes=_FEW_PAIRS, warm_up=warm_up / 2, seconds=seconds / 2)
    for part, measured in ((FULL, full), (QUARTER, quarter), (FEW, few)):
        turns.add(number, side, part, measured)


@contextmanager
def _chat(stage: Stage, server: Chatd, number: int) -> Iterator[tuple[Load, list[ChatLane]]]:
    options = stage.options
    pairs = range(options.pairs)
    writers = [f"writer-{number}-{pair}" for pair in pairs]
    readers = [f"reader-{number}-{pair}" for pair in pairs]
    samples = Samples()
    with open_live(server, writers + readers) as opened:
        of = opened.connections
        lanes = [
            ChatLane(of[pair], of[options.pairs + pair], readers[pair], options.body_bytes, samples) for pair in pairs
        ]
        load = Load(lanes, samples, server.meter())
        yield load, lanes
        load.close()


@contextmanager
def _echo(stage: Stage, server: Echo) -> Iterator[Load]:
    options = stage.options
    samples = Samples()
    with open_connections(server.entrance, [server.request("")] * options.pairs) as opened:
        lanes = [EchoLane(connection, options.body_bytes, samples) for connection in opened.connections]
        load = Load(lanes, samples, server.meter())
        yield load
        load.close()


def _rows(turns: Turns) -> Iterator[Row]:
    yield with_target(turns.row("messages/s", FULL, _rate), "ratio >= 0.3", lambda row: at_least(row.ratio, 0.3))
    for part, name in _PARTS.items():
        if part == QUARTER:
            yield turns.row(f"{name}: messages/s", part, _rate)
        yield turns.row(f"{name}: ack p50 ms", part, lambda m: m.ack and m.ack.p50)
        yield turns.row(f"{name}: ack p99 ms", part, lambda m: m.ack and m.ack.p99)
        p50 = turns.row(f"{name}: delivery p50 ms", part, lambda m: m.delivery and m.delivery.p50)
        p99 = turns.row(f"{name}: delivery p99 ms", part, lambda m: m.delivery and m.delivery.p99)
        if part == QUARTER:
            p50 = with_target(p50, "<= 4 ms", lambda row: at_most(row.chatd, 4.0))
            p99 = with_target(p99, "<= 10 ms", lambda row: at_most(row.chatd, 10.0))
        yield from (p50, p99)
        if part in (FULL, QUARTER):
            yield from ((Row(f"{name}: {r.what}", r.chatd, r.bare, r.ratio)) for r in share_rows(turns, part))


def _rate(measured: Measured) -> float:
    return measured.rate
