"""Connections with a token, up to the greeting, beside bare handshakes."""

from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from bench.figures import Latency, latency
from bench.findings import Findings, Turns, at_least, share_rows, with_target
from bench.opening import AT_ONCE, open_connections
from bench.processes import Share
from bench.servers import Server
from bench.stage import Stage

_PART = "connects"
_WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Connects:
    """One round: all connections opened, none closed meanwhile."""

    connections: int
    seconds: float
    latency: Latency | None
    shares: tuple[Share, ...]

    @property
    def rate(self) -> float:
        """Connections opened per second."""
        return self.connections / self.seconds


def run(stage: Stage) -> Findings:
    """Both sides in turns; each connection of chatd's is another person's, with a token of their own."""
    turns = Turns()
    options = stage.options
    with ExitStack() as stack:
        sides: dict[str, Server] = {}
        if stage.measures("chatd"):
            sides["chatd"] = stack.enter_context(stage.chatd())[0]
        if stage.measures("echo"):
            sides["echo"] = stack.enter_context(stage.echo())
        for number in stage.rounds:
            for side, server in sides.items():
                connects = _open_and_close(server, number, options.connects)
                turns.add(number, side, _PART, connects)
                stage.say(f"connect {number}/{options.rounds}: {side} {connects.rate:,.0f} connections/s")
    rows = (
        with_target(
            turns.row("connections/s", _PART, lambda connects: connects.rate),
            "ratio >= 0.6",
            lambda row: at_least(row.ratio, 0.6),
        ),
        turns.row("p50 ms", _PART, lambda connects: connects.latency.p50),
        turns.row("p99 ms", _PART, lambda connects: connects.latency.p99),
        *share_rows(turns, _PART),
    )
    about = f"{options.connects} connections, {AT_ONCE} handshakes at a time; chatd: token checked, hello received"
    return Findings("connect", about, rows, turns.rounds)


def _open_and_close(server: Server, number: int, count: int) -> Connects:
    with open_connections(server.entrance, [server.request(f"warm-{number}-{i}") for i in range(_WARM_UP)]):
        pass
    requests = [server.request(f"person-{number}-{i}") for i in range(count)]
    meter = server.meter()
    usage, begun = meter.read(), perf_counter()
    with open_connections(server.entrance, requests) as opened:
        shares = meter.shares(usage, perf_counter() - begun)
        return Connects(count, opened.seconds, latency(opened.latencies), shares)
