"""How lanes are driven, with lanes that answer at once, or only so often."""

import itertools
from collections.abc import Callable, Sequence

import pytest

from bench import load
from bench.connection import Connection
from bench.errors import Violation
from bench.lanes import Samples
from bench.load import Load
from bench.processes import Meter
from tests.bench.line import Line

WITHOUT_END = 10**9


class Answering:
    """A lane whose first ``capacity`` messages are answered at once."""

    def __init__(self, line: Line, capacity: int = WITHOUT_END) -> None:
        self._line = line
        self._capacity = capacity
        self.sent = 0
        self.completed = 0
        self.most_under_way = 0
        self.times: list[float] = []

    @property
    def settled(self) -> bool:
        return self.completed == self.sent

    @property
    def readers(self) -> Sequence[tuple[Connection, Callable[[], None]]]:
        return [(self._line.client, self._read)]

    def _read(self) -> None:
        self.completed += len(self._line.client.receive().spans)

    def send(self, count: int, at: float) -> None:
        answered = min(count, max(0, self._capacity - self.sent))
        self.sent += count
        self.most_under_way = max(self.most_under_way, self.sent - self.completed)
        self.times.append(at)
        self._line.say(*[b"answer"] * answered)


def driving(*lanes: Answering) -> Load:
    return Load(lanes, Samples(), Meter({}))


def test_a_number_of_messages_goes_out_with_no_more_under_way_than_asked_for(lines: list[Line]) -> None:
    lane = Answering(lines[0])
    driving(lane).exactly(20, 8, within=10)
    assert lane.completed == lane.sent == 20
    assert lane.most_under_way == 8


def test_messages_that_do_not_come_through_in_time_are_a_violation(lines: list[Line]) -> None:
    with pytest.raises(Violation, match="17 messages"):
        driving(Answering(lines[0], capacity=3)).exactly(20, 8, within=0.01)


def test_a_closed_load_keeps_its_lanes_full_and_leaves_the_others_alone(lines: list[Line]) -> None:
    lanes = [Answering(line) for line in lines]
    measured = driving(*lanes).closed(4, lanes=1, warm_up=0.02, seconds=0.05)
    assert lanes[0].settled
    assert lanes[0].most_under_way == 4
    assert 4 < measured.messages < lanes[0].sent
    assert lanes[1].sent == 0


def test_a_load_that_does_not_settle_is_a_violation(lines: list[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SETTLES_WITHIN_S", 0.0)
    with pytest.raises(Violation, match="4 messages"):
        driving(Answering(lines[0], capacity=0)).closed(4, warm_up=0, seconds=0)


def test_a_paced_load_sends_evenly_and_over_all_lanes(lines: list[Line]) -> None:
    lanes = [Answering(line) for line in lines]
    driving(*lanes).paced(1000, warm_up=0, seconds=0.05)
    assert [lane.sent for lane in lanes] == [25, 25]
    times = sorted(lanes[0].times + lanes[1].times)
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([0.001] * 49)
