"""What the cache in Redis saves of the time of a request, and what it costs where it does not help."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.asking import Asker
from bench.chat import open_live
from bench.errors import Violation
from bench.figures import median, ratio
from bench.findings import Findings, Row, Turns
from bench.opening import open_connections
from bench.processes import Share
from bench.servers import Chatd
from bench.stage import Stage
from chatd.state.shelf import AHEAD_SECONDS
from tests.kit.redis import RedisServer

_PAGE = 50
_REPEATS = 100
_WARM_UP = 10
_PEOPLE = 100
_READER = "reader"
_WITHOUT = '[bus]\nkind = "postgresql"\n'
_WITH = _WITHOUT + '[cache]\nkind = "redis"\n[redis]\nurl_file = "{url_file}"\n'
_PARTS = ("the latest, unchanged", "the latest, after a message", "somebody's profile, read elsewhere before")
_SIDES = ("with", "without")


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of request, asked ``number`` times: the median of milliseconds, and who used the processor how much."""

    milliseconds: float
    number: int
    seconds: float
    shares: tuple[Share, ...]

    def microseconds(self, name: str) -> float:
        """Processor time for each request."""
        cores = next(share.cores for share in self.shares if share.name == name)
        return cores * self.seconds / self.number * 1e6


def run(stage: Stage) -> Findings:
    """One process with the cache, one without, on one database, in turns; and another with it, which reads first.

    Where a message is sent before each page, the processor time is of both.
    """
    turns = Turns()
    with ExitStack() as stack:
        folder = stage.new_folder()
        redis = stack.enter_context(RedisServer(folder))
        url_file = folder / "url"
        url_file.touch(mode=0o600)
        url_file.write_text(redis.url)
        without, dsn = stack.enter_context(stage.chatd(more=_WITHOUT))
        more = _WITH.format(url_file=url_file)
        cached, elsewhere = (stack.enter_context(stage.chatd_beside(without, dsn, more)) for _ in range(2))
        for number in stage.rounds:
            with ExitStack() as round:
                # Anew in each round: who reads nothing for long is disconnected.
                writer = round.enter_context(_asker(without, "writer"))
                both = [round.enter_context(_asker(server, _READER)) for server in (cached, without)]
                conversation = _write(writer, number, stage.options.body_bytes)
                _pages(turns, number, (cached, without), both, writer, conversation)
            _profiles(turns, number, (cached, without), elsewhere)
            stage.say(f"cache {number}/{stage.options.rounds}")
    about = f"milliseconds, one command at a time; pages of {_PAGE}; medians of {_REPEATS}, profiles of {_PEOPLE}"
    return Findings("cache", about, tuple(_rows(turns)), turns.rounds, ("cache in Redis", "without"))


@contextmanager
def _asker(server: Chatd, user: str) -> Iterator[Asker]:
    """On a connection that is told nothing."""
    with open_connections(server.entrance, [server.request(user)]) as opened:
        yield Asker(opened.connections[0])


def _write(writer: Asker, number: int, body_bytes: int) -> str:
    """Messages for a page; their conversation."""
    conversation = ""
    for n in range(_PAGE + 10):
        text = f"{n} ".ljust(body_bytes, "x")
        conversation = writer.ask("message.send", client_id=f"m-{number}-{n}", to=_READER, text=text)["conversation"]
    return conversation


def _pages(
    turns: Turns, number: int, servers: Sequence[Chatd], askers: Sequence[Asker], writer: Asker, conversation: str
) -> None:
    read = {"conversation": conversation, "limit": _PAGE}
    for part, writes in zip(_PARTS[:2], (False, True), strict=True):
        for side, server, asker in zip(_SIDES, servers, askers, strict=True):
            sent = [f"{number}-{side}-{n}" for n in range(_WARM_UP + _REPEATS)]
            with _measured(turns, number, side, part, server) as times:
                for n, client_id in enumerate(sent):
                    if writes:
                        writer.ask("message.send", client_id=client_id, to=_READER, text="x" * 150)
                    seconds = asker.time("history.get", **read)
                    if n >= _WARM_UP:
                        times.append(seconds)


@contextmanager
def _measured(turns: Turns, number: int, side: str, part: str, server: Chatd) -> Iterator[list[float]]:
    """Takes the times of requests, and notes them with what they used."""
    times: list[float] = []
    meter, begun = server.meter(), time.perf_counter()
    since = meter.read()
    yield times
    seconds = time.perf_counter() - begun
    asked = Asked(1000 * (median(times) or 0.0), len(times), seconds, meter.shares(since, seconds))
    turns.add(number, side, part, asked)


def _profiles(turns: Turns, number: int, servers: Sequence[Chatd], elsewhere: Chatd) -> None:
    """Each is read for the first time in each process, for its memory keeps them too."""
    people = [f"person-{number}-{n}" for n in range(_PEOPLE)]
    with open_live(elsewhere, people) as opened:
        for connection in opened.connections:
            Asker(connection).ask("user.update", client_id=f"p-{number}", name="Somebody")
    # Until then nobody keeps what has just been changed.
    time.sleep(AHEAD_SECONDS + 0.5)
    with ExitStack() as stack:
        other, *both = (stack.enter_context(_asker(server, _READER)) for server in (elsewhere, *servers))
        for person in people:
            _check(other.ask("user.get", users=[person]))
        for side, server, asker in zip(_SIDES, servers, both, strict=True):
            with _measured(turns, number, side, _PARTS[2], server) as times:
                times += [asker.time("user.get", users=[person]) for person in people]


def _check(reply: dict[str, Any]) -> None:
    if len(reply["profiles"]) != 1:
        raise Violation("a profile that was given is not there")


def _rows(turns: Turns) -> Iterator[Row]:
    for part in _PARTS:
        yield _row(turns, part, part, lambda asked: asked.milliseconds)
        for name in ("PostgreSQL", "server"):
            yield _row(turns, part, f"  {name} microseconds for each", partial(Asked.microseconds, name=name))


def _row(turns: Turns, part: str, what: str, figure: Callable[[Asked], float]) -> Row:
    cached, without = (turns.median(side, part, figure) for side in _SIDES)
    return Row(what, cached, without, ratio(cached, without))
