"""What a page of history costs in a log of a thousand messages, and in one of many more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.asking import Asker
from bench.chat import open_live
from bench.errors import Violation
from bench.figures import median, ratio
from bench.filling import lengthen
from bench.findings import Findings, Row, Turns, at_most, with_target
from bench.opening import open_connections
from bench.servers import Chatd
from bench.stage import Stage

_PAGE = 50
_SHORT = 1_000
_MIDDLING = 100_000
_REPEATS = 100
_WARM_UP = 10
_IN_THREAD = 60
_AROUND = 60
"""Readable messages on either side of a place where a page is read."""


@dataclass(frozen=True, slots=True)
class Paged:
    """Milliseconds of one kind of page in a log of ``length`` messages: the median of many."""

    length: int
    milliseconds: float


class _Log:
    """A conversation of ``length`` messages, most of which are never read."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.middle = length // 2
        self.reader = f"reader-{length}"
        ends = [*range(1, _AROUND + 1), *range(length - _AROUND + 1, length + 1)]
        middle = range(self.middle - _AROUND + 1, self.middle + _AROUND + 1)
        step = (length - 4 * _AROUND) // (2 * _IN_THREAD)
        self.thread = [2 * _AROUND + n * step for n in range(_IN_THREAD)]
        self.plain = sorted({*ends, *middle} - {*self.thread})
        self.conversation = ""

    @property
    def pages(self) -> Mapping[str, tuple[str, dict[str, Any]]]:
        """The commands that are measured."""
        at = {"conversation": self.conversation, "limit": _PAGE}
        return {
            "the latest": ("history.get", at),
            "before the middle": ("history.get", {**at, "before": self.middle}),
            "after the middle": ("history.get", {**at, "after": self.middle}),
            "around the middle": ("history.get", {**at, "around": self.middle}),
            "the oldest": ("history.get", {**at, "after": 0}),
            "a thread": ("thread.get", {**at, "seq": 1}),
            "what is pinned": ("pin.list", at),
        }


def run(stage: Stage) -> Findings:
    """All logs in turns, page by page."""
    turns = Turns()
    logs = [_Log(length) for length in sorted({_SHORT, _MIDDLING, stage.options.history})]
    with stage.chatd() as (server, dsn):
        for log in logs:
            stage.say(f"history: making a log of {log.length:,} messages")
            _begin(server, dsn, log, stage.options.body_bytes)
        requests = [server.request(log.reader) for log in logs]
        with open_connections(server.entrance, requests) as opened:
            askers = [Asker(connection) for connection in opened.connections]
            for number in stage.rounds:
                _take_turn(turns, number, logs, askers)
                stage.say(f"history {number}/{stage.options.rounds}")
    about = f"milliseconds for {_PAGE} messages, one command at a time; medians of {_REPEATS}, the logs in turns"
    columns = f"{logs[-1].length:,} messages", f"{_SHORT:,} messages"
    return Findings("history", about, tuple(_rows(turns, logs)), turns.rounds, columns)


def _begin(server: Chatd, dsn: str, log: _Log, body_bytes: int) -> None:
    """Send what will be read, then put it in its places."""
    with open_live(server, [f"writer-{log.length}"]) as opened:
        writer = Asker(opened.connections[0])
        for n in range(len(log.plain)):
            fields = {"client_id": f"m-{n}", "to": log.reader, "text": f"{n} ".ljust(body_bytes, "x")}
            log.conversation = writer.ask("message.send", **fields)["conversation"]
        for n in range(_IN_THREAD):
            writer.ask("message.send", client_id=f"r-{n}", to=log.reader, text=f"reply {n}", reply_to=1)
    lengthen(dsn, log.conversation, [*log.plain, *log.thread], log.length, body_bytes + 60)


def _take_turn(turns: Turns, number: int, logs: Sequence[_Log], askers: Sequence[Asker]) -> None:
    for page in logs[0].pages:
        for log, asker in zip(logs, askers, strict=True):
            _check(asker, *log.pages[page])
        times: list[list[float]] = [[] for _ in logs]
        for repeat in range(_WARM_UP + _REPEATS):
            for log, asker, taken in zip(logs, askers, times, strict=True):
                command, fields = log.pages[page]
                seconds = asker.time(command, **fields)
                if repeat >= _WARM_UP:
                    taken.append(seconds)
        for log, taken in zip(logs, times, strict=True):
            turns.add(number, str(log.length), page, Paged(log.length, 1000 * (median(taken) or 0.0)))


def _check(asker: Asker, command: str, fields: dict[str, Any]) -> None:
    """A page that is not full, or holds what cannot be read, would have been read at the wrong place."""
    messages = asker.ask(command, **fields)["messages"]
    if len(messages) != _PAGE or any("unreadable" in message for message in messages):
        raise Violation(f"{command} with {fields} gave {len(messages)} messages, or some that cannot be read")


def _rows(turns: Turns, logs: Sequence[_Log]) -> Iterator[Row]:
    for page in logs[0].pages:
        long, short = (turns.median(str(log.length), page, _milliseconds) for log in (logs[-1], logs[0]))
        row = Row(page, long, short, ratio(long, short))
        yield with_target(row, "ratio <= 1.5", lambda row: at_most(row.ratio, 1.5))


def _milliseconds(paged: Paged) -> float:
    return paged.milliseconds
