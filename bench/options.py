"""What can be asked of ``python -m bench``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

SCENARIOS = ("direct", "connect", "memory", "catchup", "spread", "across", "fanout", "history", "groups", "cache")
SIDES = ("chatd", "echo")

_DESCRIPTION = """\
Measure chatd beside bare Autobahn: alternately, in one run, over loopback, with the same load generator. PostgreSQL is
started for the run with fsync and synchronous_commit on, and thrown away afterwards.

direct   messages from one person to another, durable, acknowledged and delivered, against Autobahn's echo; and the
         latency at a quarter of that rate
connect  handshakes with a token, up to the greeting, against bare handshakes
memory   resident memory for each idle connection
catchup  events a second for somebody who was away, against Autobahn pushing as many texts
spread   how evenly connects fall to four workers
across   messages between people on two workers, against those between people on one, over either bus
fanout   deliveries a second to the members of a group, against Autobahn broadcasting prepared frames
history  pages of a long log, against those of a short one
groups   commands in a large group, against those in a small one
cache    requests with a cache in Redis, against those without
"""
_EPILOG = """\
Everything goes over loopback and every load ends by itself. The table comes on standard output, progress on standard
error, and all figures with the facts of the machine go to bench/results/ as JSON. The exit code is 0 if everything
could be measured, whether or not the targets were met, and 1 if a server did not start or broke a promise: a message
lost, repeated, out of order or not stored.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """How much of what is measured. Times are in seconds."""

    only: tuple[str, ...] = SCENARIOS
    sides: tuple[str, ...] = SIDES
    rounds: int = 3
    seconds: float = 6.0
    warm_up: float = 1.5
    pairs: int = 100
    in_flight: int = 8
    body_bytes: int = 150
    connects: int = 2000
    idle: int = 2000
    missed: int = 100_000
    conversations: int = 20
    members: int = 500
    senders: int = 10
    outstanding: int = 1
    history: int = 1_000_000
    crowd: int = 9_900
    online: int = 2000
    folder: Path | None = None


_QUICK = Options(rounds=1, seconds=2.0, warm_up=0.5, connects=500, idle=500, missed=20_000, history=200_000)


def parse(arguments: Sequence[str]) -> Options:
    """The options; a wrong one ends the program with a usage line."""
    given = vars(_parser().parse_args(arguments))
    base = _QUICK if given.pop("quick") else Options()
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Options()
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round of everything: to see that it works, not for figures")
    add("--only", type=_Choices(SCENARIOS), metavar="LIST", help=f"of {','.join(SCENARIOS)} (all)")
    add("--sides", type=_Choices(SIDES), metavar="LIST", help="of chatd,echo: leave one out while working on the other")
    add("--rounds", type=_Between(1, 20), metavar="N", help=f"how often the two sides take turns ({usual.rounds})")
    add("--seconds", type=_seconds, metavar="S", help=f"how long each load is measured ({usual.seconds:g})")
    add("--warm-up", type=_seconds, metavar="S", help=f"how long it runs before that ({usual.warm_up:g})")
    add("--pairs", type=_Between(1, 2000), metavar="N", help=f"direct: pairs of people ({usual.pairs})")
    add("--in-flight", type=_Between(1, 128), metavar="N", help=f"direct: messages under way ({usual.in_flight})")
    add("--body-bytes", type=_Between(16, 3000), metavar="N", help=f"length of a message's text ({usual.body_bytes})")
    add("--connects", type=_Between(1, 8000), metavar="N", help=f"connect: connections a round ({usual.connects})")
    add("--idle", type=_Between(1, 8000), metavar="N", help=f"memory: idle connections ({usual.idle})")
    add("--missed", type=_Between(100, 2_000_000), metavar="N", help=f"catchup: events ({usual.missed})")
    add("--conversations", type=_Between(1, 1000), metavar="N", help=f"catchup: spread over ({usual.conversations})")
    add("--members", type=_Between(2, 8000), metavar="N", help=f"fanout: members of the group ({usual.members})")
    add("--senders", type=_Between(1, 100), metavar="N", help=f"fanout: those who send ({usual.senders})")
    add("--outstanding", type=_Between(1, 100), metavar="N", help=f"fanout: messages under way ({usual.outstanding})")
    add("--history", type=_Between(2000, 20_000_000), metavar="N", help=f"history: the longest log ({usual.history})")
    add("--crowd", type=_Between(200, 9900), metavar="N", help=f"groups: members of the large one ({usual.crowd})")
    add("--online", type=_Between(51, 8000), metavar="N", help=f"groups: of whom are connected ({usual.online})")
    add("--folder", type=Path, metavar="PATH", help="existing folder to keep the database in (the temporary one)")
    return parser


class _Choices:
    """A list of known words, separated by commas."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        words = text.split(",")
        unknown = [word for word in words if word not in self._known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(self._known)}")
        return tuple(word for word in self._known if word in words)


class _Between:
    """A whole number within bounds."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        if not text.isdecimal() or not self._low <= int(text) <= self._high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {self._low} to {self._high}")
        return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 60")
    return seconds
