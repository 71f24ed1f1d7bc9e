"""What the commands of a large group cost, beside those of a small one on the same server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from bench.asking import Asker, ask_together, drain, found_group
from bench.audience import GroupLane
from bench.chat import open_live
from bench.connection import Connection
from bench.errors import Violation
from bench.figures import median, ratio
from bench.findings import Findings, Row, Turns, at_most, with_target
from bench.lanes import Samples
from bench.load import Load
from bench.opening import AT_ONCE, open_connections
from bench.servers import Chatd
from bench.stage import Stage

_SMALL = 100
_ONLINE = 50
_MISSED = 1_000
_JOINING = 64
_REPEATS = 50
_IN_FLIGHT = 40
_WITHIN_S = 120.0
_CROWDED = "a message while many are connected"


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of one thing in a group of so many members: the median of several."""

    members: int
    milliseconds: float


class _Group:
    """A group with some members connected; ``away`` is one who has missed messages, ``base`` where they left."""

    def __init__(self, stage: Stage, server: Chatd, stack: ExitStack, size: int) -> None:
        self.size = size
        self.people = [f"of-{size}-{i}" for i in range(size)]
        self.server = server
        self.online = [*stack.enter_context(open_live(server, self.people[:_ONLINE])).connections]
        self.owner = Asker(self.online[0])
        begun = perf_counter()
        self.conversation, self.base = found_group(self.owner, self.people[1:], joining="open")
        stage.say(f"groups: one of {size:,} members was made in {perf_counter() - begun:.1f} s")
        self.joining = [f"new-{size}-{i}" for i in range(_JOINING)]
        opened = stack.enter_context(open_live(server, self.joining))
        self.newcomers = [Asker(connection) for connection in opened.connections]
        self.times = 0
        self._fill(stage)

    def _fill(self, stage: Stage) -> None:
        group, body = self.conversation.encode(), stage.options.body_bytes
        lane = GroupLane(self.online, 1, group, self.base, body, samples := Samples())
        load = Load([lane], samples, self.server.meter())
        load.exactly(_MISSED, _IN_FLIGHT, within=_WITHIN_S)
        load.close()

    def send(self) -> float:
        """One message, until it is acknowledged."""
        self.times += 1
        return self._owner("message.send", client_id=f"s-{self.times}", text="hello")

    def members(self) -> float:
        """One page of members."""
        return self._owner("member.list", limit=_ONLINE)

    def get(self) -> float:
        """What the conversation is to its owner."""
        return self._owner("conversation.get")

    def list(self) -> float:
        """The owner's list of conversations."""
        return self.owner.time("conversation.list")

    def _owner(self, command: str, **fields: object) -> float:
        return self.owner.time(command, conversation=self.conversation, **fields)

    def join(self) -> float:
        """Seconds for each of many who join at the same time."""
        return self._all("join.request")

    def leave(self) -> float:
        """Seconds for each of many who leave at the same time."""
        return self._all("member.leave")

    def _all(self, command: str) -> float:
        self.times += 1
        fields = {"client_id": f"j-{self.times}", "conversation": self.conversation}
        return ask_together(self.newcomers, command, **fields) / len(self.newcomers)

    def resume(self) -> float:
        """Somebody who was away connects and syncs."""
        with open_connections(self.server.entrance, [self.server.request(self.people[-1])]) as opened:
            heard: list[bytes] = []
            asker = Asker(opened.connections[0], heard.append)
            seconds = asker.time("sync", cursors={self.conversation: self.base})
        if sum(b'"message.created"' in text[:32] for text in heard) < _MISSED:
            raise Violation(f"{_MISSED} messages were missed, and {len(heard)} events came")
        return seconds

    def drain(self) -> None:
        """Read what has come to those who are connected."""
        drain(self.online)


_COSTS: Mapping[str, tuple[Callable[[_Group], float], int]] = {
    "a message, until acknowledged": (_Group.send, _REPEATS),
    "a page of members": (_Group.members, _REPEATS),
    "conversation.get": (_Group.get, _REPEATS),
    "conversation.list": (_Group.list, _REPEATS),
    f"sync after {_MISSED:,} missed messages": (_Group.resume, 10),
    f"each of {_JOINING} who join together": (_Group.join, 1),
    f"each of {_JOINING} who leave together": (_Group.leave, 1),
}
"""In this order, and how often in a row: who has joined leaves again."""


def run(stage: Stage) -> Findings:
    """Both groups in turns, one cost after the other; then the large one with many more members connected."""
    turns, options = Turns(), stage.options
    with stage.chatd() as (server, _), ExitStack() as stack:
        groups = [_Group(stage, server, stack, size) for size in (_SMALL, options.crowd)]
        for number in stage.rounds:
            for cost, (measure, repeats) in _COSTS.items():
                for group in groups:
                    _take_turn(turns, number, group, cost, partial(measure, group), repeats)
            stage.say(f"groups {number}/{options.rounds}")
        large = groups[-1]
        large.online += stack.enter_context(_live(large, large.people[_ONLINE : options.online]))
        for number in stage.rounds:
            _take_turn(turns, number, large, _CROWDED, large.send, _REPEATS)
    about = f"milliseconds; {_ONLINE} members of each connected, {options.online:,} of the large one for the last line"
    columns = f"{options.crowd:,} members", f"{_SMALL} members"
    return Findings("groups", about, tuple(_rows(turns, options.crowd)), turns.rounds, columns)


def _take_turn(turns: Turns, number: int, group: _Group, cost: str, measure: Callable[[], float], repeats: int) -> None:
    taken = [measure() for _ in range(repeats)]
    group.drain()
    turns.add(number, str(group.size), cost, Cost(group.size, 1000 * (median(taken) or 0.0)))


@contextmanager
def _live(group: _Group, people: Sequence[str]) -> Iterator[list[Connection]]:
    """Connections of members who have all that was said in their group so far."""
    here = group.owner.ask("conversation.get", conversation=group.conversation)["last_seq"]
    server = group.server
    with open_connections(server.entrance, [server.request(person) for person in people]) as opened:
        askers = [Asker(connection) for connection in opened.connections]
        for first in range(0, len(askers), AT_ONCE):
            ask_together(askers[first : first + AT_ONCE], "sync", cursors={group.conversation: here})
        yield [*opened.connections]


def _rows(turns: Turns, crowd: int) -> Iterator[Row]:
    for cost in (*_COSTS, _CROWDED):
        large, small = (turns.median(str(size), cost, lambda cost: cost.milliseconds) for size in (crowd, _SMALL))
        row = Row(cost, large, small, ratio(large, small))
        yield row if small is None else with_target(row, "ratio <= 1.5", lambda row: at_most(row.ratio, 1.5))
