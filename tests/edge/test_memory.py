"""A worker whose memory runs short."""

import pytest
from twisted.internet.task import Clock

from chatd.edge.memory import LOOK_SECONDS, NOTABLE_BYTES, MemoryWatch

BOUND = 1000 * NOTABLE_BYTES


class Connection:
    """Holds so much until it is dropped."""

    def __init__(self, worker: "Worker", held_bytes: int) -> None:
        self._worker = worker
        self.held_bytes = held_bytes

    def drop(self) -> None:
        self._worker.connections.remove(self)


class Worker:
    """Memory of which the connections take a part. The allocator keeps what is dropped until it is told to let go."""

    def __init__(self, bound: int = BOUND) -> None:
        self.clock = Clock()
        self.base = 0
        self.kept = 0
        self.connections: list[Connection] = []
        self.watch = MemoryWatch(bound, self.resident, self.release, lambda: self.connections, self.clock)
        self.watch.start()

    def resident(self) -> int:
        self.kept = max(self.kept, self.base + sum(one.held_bytes for one in self.connections))
        return self.kept

    def release(self) -> None:
        self.kept = 0

    def connect(self, *held: int) -> None:
        self.connections += [Connection(self, one * NOTABLE_BYTES) for one in held]

    @property
    def held(self) -> list[int]:
        return [one.held_bytes // NOTABLE_BYTES for one in self.connections]

    def pass_time(self) -> None:
        self.clock.advance(LOOK_SECONDS)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_where_there_is_enough_nobody_is_dropped_or_refused(worker: Worker) -> None:
    worker.connect(400, 499)
    worker.pass_time()
    assert (worker.held, worker.watch.short) == ([400, 499], False)


def test_the_largest_is_dropped_and_nobody_new_comes_in(worker: Worker) -> None:
    worker.connect(100, 700, 150)
    worker.pass_time()
    assert (worker.held, worker.watch.short, worker.watch.dropped) == ([100, 150], True, 1)


def test_as_many_as_make_up_for_the_excess(worker: Worker) -> None:
    worker.base = 700 * NOTABLE_BYTES
    worker.connect(*[40] * 10)
    worker.pass_time()
    assert (len(worker.held), worker.watch.dropped) == (4, 6)


def test_those_who_hold_little_are_kept_as_long_as_the_bound_is_not_reached(worker: Worker) -> None:
    worker.base = BOUND - 2 * NOTABLE_BYTES
    worker.connect(0, 0)
    worker.connections += [Connection(worker, NOTABLE_BYTES - 1)]
    worker.pass_time()
    assert (len(worker.held), worker.watch.short) == (3, True)
    worker.base = BOUND
    worker.pass_time()
    assert (worker.held, worker.watch.dropped) == ([0, 0], 1), "who holds nothing is never dropped"


def test_who_is_new_is_let_in_once_there_is_some_to_spare(worker: Worker) -> None:
    worker.base = 900 * NOTABLE_BYTES
    worker.pass_time()
    worker.base = 850 * NOTABLE_BYTES
    worker.pass_time()
    assert worker.watch.short, "and does not flicker"
    worker.base = 799 * NOTABLE_BYTES
    worker.pass_time()
    assert not worker.watch.short
    worker.base = 850 * NOTABLE_BYTES
    worker.pass_time()
    assert not worker.watch.short


def test_without_a_bound_nobody_looks() -> None:
    worker = Worker(bound=0)
    worker.connect(10 * BOUND)
    assert worker.clock.getDelayedCalls() == []
    worker.watch.stop()


def test_when_it_is_over_nobody_looks_any_more(worker: Worker) -> None:
    worker.watch.stop()
    worker.connect(BOUND)
    worker.pass_time()
    assert worker.watch.dropped == 0


def test_a_defect_is_logged_and_ends_nothing_else(worker: Worker, logged: list) -> None:
    worker.connections = [None]
    worker.base = BOUND
    worker.pass_time()
    assert [event["log_format"] for event in logged][-1] == "memory is no longer watched"
    assert not worker.watch.short
