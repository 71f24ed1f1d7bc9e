"""All workers together."""

import pytest
from twisted.internet.task import Clock

from chatd.workers.slot import LOOP_AFTER, REPLACEMENT_TICKS, State
from chatd.workers.supervisor import Supervisor
from tests.kit.at_once import Watch
from tests.kit.processes import MemorySpawner, order, tick

WORKERS = 3


class Team:
    """Workers that were just started."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.spawner = MemorySpawner()
        self.supervisor = Supervisor(WORKERS, self.spawner.spawn, self.clock, lambda: 1.0)
        self.supervisor.start(order("first"))

    def make_ready(self) -> None:
        """Whoever lives now is ready."""
        for process in self.spawner.living:
            process.ready = True
        tick(self.clock)

    def let_go(self) -> None:
        """Whoever was told to stop has drained."""
        for process in self.spawner.living:
            if process.told_to_stop:
                process.end()

    @property
    def serving(self) -> list[tuple[int, str]]:
        """Who serves, and with which order."""
        return sorted((process.number, process.order) for process in self.spawner.living if not process.told_to_stop)


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def ready(team: Team) -> Team:
    team.make_ready()
    return team


def test_they_start_at_once_and_all_must_be_ready(team: Team) -> None:
    assert team.serving == [(1, "first"), (2, "first"), (3, "first")]
    for process in team.spawner.processes[:-1]:
        process.ready = True
    tick(team.clock)
    assert (team.supervisor.ready, team.supervisor.summary) == (False, "2 of 3 workers ready")
    team.make_ready()
    assert (team.supervisor.ready, team.supervisor.summary) == (True, "3 of 3 workers ready")


def test_one_in_a_crash_loop_is_named_and_the_others_go_on(ready: Team) -> None:
    for _ in range(LOOP_AFTER):
        next(process for process in ready.spawner.living if process.number == 2).end("exit status 1")
        tick(ready.clock, 10)
    assert not ready.supervisor.ready
    assert ready.supervisor.summary == "2 of 3 workers ready; failing again and again: 2"
    assert ready.supervisor.states == {1: State.READY, 2: State.STARTING, 3: State.READY}
    assert [process.pid for process in ready.spawner.living if process.number != 2] == [100, 102]


def test_silence_of_one_is_told(ready: Team) -> None:
    ready.spawner.processes[1].hangs = True
    assert not ready.supervisor.silent
    tick(ready.clock, 4)
    assert ready.supervisor.silent


def test_they_are_replaced_one_by_one(ready: Team) -> None:
    ready.supervisor.replace(order("second"))
    for number in range(1, WORKERS + 1):
        assert ready.supervisor.rolling
        assert len(ready.spawner.living) == WORKERS + 1, "one replacement at a time"
        assert ready.spawner.last.number == number
        ready.make_ready()
        assert ready.supervisor.ready
        ready.let_go()
    assert not ready.supervisor.rolling
    assert ready.serving == [(1, "second"), (2, "second"), (3, "second")]


def test_the_first_that_cannot_be_replaced_ends_it(ready: Team) -> None:
    ready.supervisor.replace(order("second"))
    ready.make_ready()
    ready.let_go()
    ready.spawner.last.end("exit status 1")
    assert not ready.supervisor.rolling
    assert ready.serving == [(1, "second"), (2, "first"), (3, "first")]
    assert ready.supervisor.ready


def test_a_replacement_that_is_not_ready_in_time_ends_it(ready: Team) -> None:
    ready.supervisor.replace(order("second"))
    tick(ready.clock, REPLACEMENT_TICKS + 1)
    ready.let_go()
    assert not ready.supervisor.rolling
    assert ready.serving == [(1, "first"), (2, "first"), (3, "first")]


def test_an_order_that_comes_meanwhile_takes_the_place_of_the_one_before(ready: Team) -> None:
    ready.supervisor.replace(order("second"))
    ready.supervisor.replace(order("third"))
    ready.supervisor.replace(order("fourth"))
    for _ in range(WORKERS + 1):
        ready.make_ready()
        ready.let_go()
    assert ready.serving == [(1, "fourth"), (2, "fourth"), (3, "fourth")]
    assert {process.order for process in ready.spawner.processes} == {"first", "second", "fourth"}
    assert not ready.supervisor.rolling


def test_they_drain_all_at_once(ready: Team) -> None:
    stopped = Watch(ready.supervisor.stop())
    assert (ready.serving, ready.supervisor.ready, ready.supervisor.started) == ([], False, False)
    for process in ready.spawner.processes:
        assert not stopped.ended
        process.end()
    assert stopped.ended
    assert ready.clock.getDelayedCalls() == []


def test_stopped_in_the_middle_of_a_replacement_nothing_more_is_started(ready: Team) -> None:
    ready.supervisor.replace(order("second"))
    stopped = Watch(ready.supervisor.stop())
    ready.let_go()
    assert (stopped.ended, ready.spawner.living) == (True, [])
    ready.supervisor.replace(order("third"))
    assert ready.spawner.living == []


def test_before_they_are_started_there_is_nothing_to_wait_for() -> None:
    supervisor = Supervisor(2, MemorySpawner().spawn, Clock(), lambda: 1.0)
    assert not supervisor.started
    assert Watch(supervisor.stop()).ended
