"""How evenly connects are spread over several workers."""

from dataclasses import dataclass

from bench.errors import BenchError
from bench.findings import Findings, Turns, at_least, with_target
from bench.opening import open_connections
from bench.servers import Chatd
from bench.stage import Stage

WORKERS = 4
CONNECTS = 400
FEWEST = 60
"""Four and a half standard deviations below an even share, if each connect falls to a worker by chance."""
_PART = "spread"


@dataclass(frozen=True, slots=True)
class Spread:
    """Connections of each worker, all opened before any was closed."""

    counts: tuple[int, ...]


def run(stage: Stage) -> Findings:
    """A server of its own for each round."""
    turns = Turns()
    if stage.measures("chatd"):
        for number in stage.rounds:
            with stage.chatd(WORKERS) as (chatd, _):
                spread = _connect(chatd, number)
            turns.add(number, "chatd", _PART, spread)
            stage.say(f"spread {number}/{stage.options.rounds}: {'/'.join(map(str, spread.counts))}")
    rows = (
        with_target(
            turns.row("fewest of a worker", _PART, lambda spread: float(min(spread.counts))),
            f">= {FEWEST}",
            lambda row: at_least(row.chatd, FEWEST),
        ),
        turns.row("most of a worker", _PART, lambda spread: float(max(spread.counts))),
    )
    return Findings("spread", f"{CONNECTS} connections over {WORKERS} workers", rows, turns.rounds)


def _connect(chatd: Chatd, number: int) -> Spread:
    requests = [chatd.request(f"person-{number}-{i}") for i in range(CONNECTS)]
    with open_connections(chatd.entrance, requests):
        counts = chatd.connections()
    if sum(counts) != CONNECTS:
        raise BenchError(f"{CONNECTS} connections are open, and the workers count {counts}")
    return Spread(counts)
