"""Messages between people on two workers, beside messages between people on one of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.chat import go_live
from bench.connection import Connection
from bench.database import check_stored
from bench.errors import BenchError
from bench.figures import ratio
from bench.findings import Findings, Row, Turns, at_least, with_target
from bench.lanes import ChatLane, Samples
from bench.load import Load, Measured
from bench.opening import open_connections
from bench.placement import workers_of
from bench.servers import Chatd
from bench.stage import Stage
from tests.kit.redis import RedisServer

WORKERS = 2
ACROSS, SAME = "across", "same"
_BUSES = ("PostgreSQL", "Redis")
_OVER_REDIS = """\
[bus]
kind = "redis"
[redis]
url = "{url}"
"""
_SPARE = 3
"""So many connections for each pair are opened, so that enough of them fall to either worker."""

Member = tuple[str, Connection]


def run(stage: Stage) -> Findings:
    """For each bus a server of its own, on which the two take turns."""
    turns, options = Turns(), stage.options
    if stage.measures("chatd"):
        for bus in _BUSES:
            with _server(stage, bus) as (server, dsn):
                _take_turns(stage, turns, bus, server, dsn)
    about = (
        f"{options.pairs} pairs on {WORKERS} workers, {options.in_flight} messages in flight each, "
        f"{options.body_bytes}-byte bodies; the same people, paired in two ways"
    )
    return Findings("across", about, tuple(_rows(turns)), turns.rounds, ("two workers", "one worker"))


@contextmanager
def _server(stage: Stage, bus: str) -> Iterator[tuple[Chatd, str]]:
    if bus == "PostgreSQL":
        with stage.chatd(WORKERS) as started:
            yield started
    else:
        with (
            TemporaryDirectory(prefix="chatd-bench-redis-") as folder,
            RedisServer(Path(folder)) as redis,
            stage.chatd(WORKERS, more=_OVER_REDIS.format(url=redis.url)) as started,
        ):
            yield started


def _take_turns(stage: Stage, turns: Turns, bus: str, server: Chatd, dsn: str) -> None:
    options, samples = stage.options, Samples()
    people = [f"person-{n}" for n in range(_SPARE * options.pairs)]
    with open_connections(server.entrance, [server.request(person) for person in people]) as opened:
        placed = _placed(server, list(zip(people, opened.connections, strict=True)), options.pairs)
        go_live([connection for members in placed for _, connection in members])
        lanes = {
            side: [ChatLane(a, b, to, options.body_bytes, samples) for (_, a), (to, b) in pairs]
            for side, pairs in (_paired(*placed)).items()
        }
        for number in stage.rounds:
            for side in (SAME, ACROSS):
                load = Load(lanes[side], samples, server.meter())
                measured = load.closed(options.in_flight, warm_up=options.warm_up, seconds=options.seconds)
                load.close()
                turns.add(number, side, bus, measured)
                stage.say(f"{side} {number}/{options.rounds} over {bus}: {measured.rate:,.0f} messages/s")
        check_stored(dsn, sum(lane.sent for of_side in lanes.values() for lane in of_side))


def _placed(server: Chatd, members: Sequence[Member], wanted: int) -> list[list[Member]]:
    """So many people on each worker; the others hang up."""
    placed: dict[int, list[Member]] = {}
    workers = workers_of(server.pid, server.port)
    for name, connection in members:
        on = placed.setdefault(workers[connection.port], [])
        if len(on) < wanted:
            on.append((name, connection))
        else:
            connection.close()
    if [len(on) for on in placed.values()] != [wanted] * WORKERS:
        raise BenchError(f"of {len(members)} connections, too few fell to one of {WORKERS} workers")
    return list(placed.values())


def _paired(one: Sequence[Member], other: Sequence[Member]) -> Mapping[str, list[tuple[Member, Member]]]:
    """The same people in pairs on one worker, and in as many over both, where those write who have only read before.

    Nobody writes in both: each would have to name their messages differently.
    """
    pairs = partial(zip, strict=False)
    return {
        SAME: [*pairs(one[::2], one[1::2]), *pairs(other[::2], other[1::2])],
        ACROSS: [*pairs(one[1::2], other[::2]), *pairs(other[1::2], one[::2])],
    }


def _rows(turns: Turns) -> Iterator[Row]:
    for bus in _BUSES:
        rate = _row(turns, f"over {bus}: messages/s", bus, lambda measured: measured.rate)
        yield with_target(rate, "ratio >= 0.7", lambda row: at_least(row.ratio, 0.7))
        yield _row(turns, f"over {bus}: ack p50 ms", bus, lambda m: m.ack and m.ack.p50)
        yield _row(turns, f"over {bus}: delivery p50 ms", bus, lambda m: m.delivery and m.delivery.p50)
        yield _row(turns, f"over {bus}: delivery p99 ms", bus, lambda m: m.delivery and m.delivery.p99)
        for name in ("server", "PostgreSQL"):
            yield _row(turns, f"over {bus}: {name} microseconds for each", bus, _microseconds_of(name))


def _row(turns: Turns, what: str, bus: str, figure: Callable[[Measured], float | None]) -> Row:
    across, same = (turns.median(side, bus, figure) for side in (ACROSS, SAME))
    return Row(what, across, same, ratio(across, same))


def _microseconds_of(name: str) -> Callable[[Measured], float | None]:
    """Processor time for each message, which a disturbed machine tells best."""
    return lambda measured: next(
        (share.cores / measured.rate * 1e6 for share in measured.shares if share.name == name and measured.rate), None
    )
