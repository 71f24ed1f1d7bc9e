"""One worker's place: what fills it, what empties it, and what follows."""

import pytest
from twisted.internet.task import Clock

from chatd.settings.model import Settings, Timeouts
from chatd.workers.run import DRAIN_EXTRA_S, SILENT_TICKS, TICK_S
from chatd.workers.slot import (
    LONGEST_PAUSE_S,
    LOOP_AFTER,
    REPLACEMENT_TICKS,
    SHORTEST_PAUSE_S,
    STEADY_AFTER_S,
    TABLE,
    Happening,
    Slot,
    State,
    pause,
)
from tests.kit.at_once import Watch
from tests.kit.processes import MemoryProcess, MemorySpawner, order

DRAIN_S = 4.0
ORDER = order("first", Settings(timeouts=Timeouts(drain=DRAIN_S)))


class Place:
    """A slot that was just started, with everything around it; ``jitter`` is at its most."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.spawner = MemorySpawner()
        self.slot = Slot(1, self.spawner.spawn, self.clock, lambda: 1.0)
        self.slot.start(ORDER)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.slot.tick()

    def make_ready(self) -> MemoryProcess:
        self.spawner.last.ready = True
        self.slot.tick()
        return self.spawner.last

    @property
    def orders(self) -> list[str]:
        return [process.order for process in self.spawner.processes]


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def serving(place: Place) -> Place:
    place.make_ready()
    return place


# -- beginning --


def test_it_is_ready_when_its_process_is_and_not_before(place: Place) -> None:
    place.pass_time(10)
    assert (place.slot.state, place.slot.ready) == (State.STARTING, False)
    place.make_ready()
    assert (place.slot.state, place.slot.ready) == (State.READY, True)


def test_it_is_not_ready_while_the_database_is_away_and_is_left_alone(serving: Place) -> None:
    serving.spawner.last.ready = False
    serving.pass_time(300)
    assert (serving.slot.ready, serving.slot.state) == (False, State.READY)
    assert len(serving.spawner.processes) == 1
    serving.make_ready()
    assert serving.slot.ready


# -- crashes --


def test_after_a_crash_another_one_follows_shortly(serving: Place) -> None:
    serving.spawner.last.end("signal 9")
    assert (serving.slot.state, serving.slot.ready) == (State.BACKING_OFF, False)
    serving.pass_time(SHORTEST_PAUSE_S)
    assert (serving.slot.state, len(serving.spawner.living)) == (State.STARTING, 1)
    serving.make_ready()
    assert (serving.slot.ready, serving.slot.restarts) == (True, 1)


def test_one_that_was_ended_in_good_order_is_followed_at_once(serving: Place) -> None:
    serving.spawner.last.end()
    serving.clock.advance(0)
    assert (serving.slot.state, serving.slot.failures) == (State.STARTING, 0)


def test_one_that_ends_before_it_was_ready_has_failed_whatever_it_says(place: Place) -> None:
    place.spawner.last.end()
    place.clock.advance(0)
    assert (place.slot.state, place.slot.failures) == (State.BACKING_OFF, 1)


def test_pauses_double_up_to_the_longest_while_it_crashes_again_and_again(place: Place) -> None:
    seen = []
    for _ in range(10):
        place.spawner.last.end("exit status 1")
        began, before = place.clock.seconds(), len(place.spawner.processes)
        while len(place.spawner.processes) == before:
            place.clock.advance(0.25)
        seen.append(place.clock.seconds() - began)
    assert seen == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert place.slot.crash_looping


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    assert [pause(1, 0.0), pause(1, 1.0)] == [SHORTEST_PAUSE_S / 2, SHORTEST_PAUSE_S]
    assert [pause(1000, 0.0), pause(1000, 1.0)] == [LONGEST_PAUSE_S / 2, LONGEST_PAUSE_S]


def test_one_that_crashes_soon_after_it_is_ready_counts_as_crashing_again_and_again(place: Place) -> None:
    for _ in range(LOOP_AFTER):
        place.make_ready()
        place.spawner.last.end("signal 11")
        place.pass_time(LONGEST_PAUSE_S)
    assert place.slot.crash_looping


def test_once_it_lasts_its_failures_are_forgotten(place: Place) -> None:
    for _ in range(LOOP_AFTER):
        place.spawner.last.end("exit status 1")
        place.pass_time(LONGEST_PAUSE_S)
    place.make_ready()
    place.pass_time(STEADY_AFTER_S / 2)
    assert place.slot.crash_looping
    place.pass_time(STEADY_AFTER_S)
    assert (place.slot.crash_looping, place.slot.failures) == (False, 0)


def test_where_the_system_gives_no_process_it_is_tried_again(place: Place) -> None:
    place.spawner.fails = True
    place.spawner.last.end("signal 9")
    place.pass_time(60)
    assert place.slot.state is State.BACKING_OFF
    place.spawner.fails = False
    place.pass_time(LONGEST_PAUSE_S)
    assert len(place.spawner.living) == 1


# -- silence --


def test_one_that_hangs_is_not_ready_and_is_killed_after_a_while(serving: Place) -> None:
    hanging = serving.spawner.last
    hanging.hangs = True
    serving.pass_time(SILENT_TICKS * TICK_S / 2)
    assert (serving.slot.ready, serving.slot.silent, hanging.killed) == (False, True, 0)
    serving.pass_time(SILENT_TICKS * TICK_S / 2 + 1)
    assert hanging.killed == 1
    assert serving.spawner.last is not hanging


def test_one_that_was_stopped_for_a_while_and_goes_on_is_left_alone(serving: Place) -> None:
    serving.spawner.last.hangs = True
    serving.pass_time(30)
    serving.spawner.last.hangs = False
    serving.pass_time(1)
    assert (serving.slot.ready, serving.slot.silent, len(serving.spawner.processes)) == (True, False, 1)


def test_a_parent_that_was_held_up_itself_blames_nobody(serving: Place) -> None:
    serving.clock.advance(3600)
    serving.slot.tick()
    assert (serving.slot.ready, serving.spawner.last.killed) == (True, 0)


def test_one_that_has_not_begun_to_answer_is_not_silent_yet(place: Place) -> None:
    place.spawner.last.hangs = True
    place.pass_time(5)
    assert not place.slot.silent


# -- replacement --


def test_a_replacement_is_ready_before_its_predecessor_is_told_to_go(serving: Place) -> None:
    old = serving.spawner.last
    replaced = Watch(serving.slot.replace(order("second")))
    serving.pass_time(3)
    assert (old.told_to_stop, replaced.ended, serving.slot.ready) == (0, False, True)
    new = serving.make_ready()
    assert (old.told_to_stop, replaced.result, serving.slot.ready) == (1, True, True)
    assert serving.slot.process is new
    old.end()
    serving.pass_time(5)
    assert serving.spawner.living == [new]
    new.end("signal 9")
    serving.pass_time(1)
    assert serving.orders == ["first", "second", "second"]


def test_a_replacement_that_ends_leaves_its_predecessor_serving(serving: Place) -> None:
    old = serving.spawner.last
    replaced = Watch(serving.slot.replace(order("second")))
    serving.spawner.last.end("exit status 1")
    assert (replaced.result, serving.slot.ready, old.told_to_stop) == (False, True, 0)
    old.end("signal 9")
    serving.pass_time(1)
    assert serving.orders == ["first", "second", "first"]


def test_a_replacement_that_does_not_become_ready_is_given_up(serving: Place) -> None:
    old, replaced = serving.spawner.last, Watch(serving.slot.replace(order("second")))
    serving.pass_time(REPLACEMENT_TICKS * TICK_S)
    assert not replaced.ended
    serving.pass_time(TICK_S)
    new = serving.spawner.last
    assert (replaced.result, new.told_to_stop, old.told_to_stop) == (False, 1, 0)
    new.ready = True
    serving.pass_time(1)
    new.end()
    assert serving.slot.process is old
    assert serving.slot.ready


def test_where_the_system_gives_no_process_there_is_no_replacement(serving: Place) -> None:
    serving.spawner.fails = True
    assert Watch(serving.slot.replace(order("second"))).result is False
    assert serving.slot.ready


def test_a_predecessor_that_crashes_meanwhile_is_followed_by_the_replacement(serving: Place) -> None:
    old, replaced = serving.spawner.last, Watch(serving.slot.replace(order("second")))
    old.end("signal 9")
    assert (serving.slot.state, len(serving.spawner.living)) == (State.STARTING, 1)
    serving.pass_time(5)
    serving.make_ready()
    assert (replaced.result, serving.slot.ready, serving.orders) == (True, True, ["first", "second"])


def test_if_both_crash_the_order_before_is_taken_again(serving: Place) -> None:
    old, replaced = serving.spawner.last, Watch(serving.slot.replace(order("second")))
    old.end("signal 9")
    serving.spawner.last.end("exit status 1")
    assert replaced.result is False
    serving.pass_time(5)
    assert serving.orders == ["first", "second", "first"]


def test_one_that_is_still_starting_is_replaced_as_well(place: Place) -> None:
    old, replaced = place.spawner.last, Watch(place.slot.replace(order("second")))
    old.ready = True
    place.pass_time(1)
    assert (place.slot.ready, replaced.ended) == (True, False)
    place.make_ready()
    assert (replaced.result, old.told_to_stop) == (True, 1)


def test_a_replacement_may_be_ready_before_the_one_that_is_starting(place: Place) -> None:
    old, replaced = place.spawner.last, Watch(place.slot.replace(order("second")))
    place.make_ready()
    assert (place.slot.ready, replaced.result, old.told_to_stop) == (True, True, 1)


def test_a_crash_loop_ends_with_an_order_that_works(place: Place) -> None:
    for _ in range(LOOP_AFTER + 2):
        place.spawner.last.end("exit status 1")
        place.pass_time(LONGEST_PAUSE_S)
    place.spawner.last.end("exit status 1")
    replaced = Watch(place.slot.replace(order("second")))
    assert place.slot.state is State.STARTING
    place.make_ready()
    assert (replaced.result, place.slot.ready) == (True, True)


def test_in_a_crash_loop_an_order_that_never_works_is_given_up(place: Place) -> None:
    place.spawner.last.end("exit status 1")
    replaced = Watch(place.slot.replace(order("second")))
    place.pass_time(REPLACEMENT_TICKS * TICK_S + TICK_S)
    assert (replaced.result, place.spawner.last.told_to_stop) == (False, 1)
    place.spawner.last.end()
    place.pass_time(LONGEST_PAUSE_S)
    assert place.orders == ["first", "second", "first"]


def test_an_order_that_was_given_up_is_not_taken_though_it_works_in_the_end(place: Place) -> None:
    place.spawner.last.end("exit status 1")
    replaced = Watch(place.slot.replace(order("second")))
    place.pass_time(REPLACEMENT_TICKS * TICK_S + TICK_S)
    place.make_ready().end()
    place.pass_time(LONGEST_PAUSE_S)
    assert (replaced.result, place.orders) == (False, ["first", "second", "first"])


def test_in_a_crash_loop_without_processes_there_is_no_replacement(place: Place) -> None:
    place.spawner.last.end("exit status 1")
    place.spawner.fails = True
    assert Watch(place.slot.replace(order("second"))).result is False
    assert place.slot.state is State.BACKING_OFF


# -- the end --


def test_it_is_gone_when_its_process_has_drained(serving: Place) -> None:
    gone = Watch(serving.slot.stop())
    assert (serving.slot.state, serving.spawner.last.told_to_stop, gone.ended) == (State.DRAINING, 1, False)
    assert not serving.slot.ready
    serving.spawner.last.end()
    assert (serving.slot.state, gone.ended) == (State.GONE, True)


def test_one_that_does_not_end_in_time_is_killed_once(serving: Place) -> None:
    gone = Watch(serving.slot.stop())
    serving.pass_time(DRAIN_S + DRAIN_EXTRA_S)
    assert serving.spawner.last.killed == 0
    serving.pass_time(2)
    assert (serving.spawner.last.killed, gone.ended) == (1, True)


def test_a_predecessor_that_does_not_end_in_time_is_killed(serving: Place) -> None:
    old = serving.spawner.last
    serving.slot.replace(order("second"))
    serving.make_ready()
    serving.pass_time(DRAIN_S + DRAIN_EXTRA_S + 1)
    assert (old.killed, serving.slot.ready) == (1, True)


def test_it_waits_for_everything_in_it(serving: Place) -> None:
    leaving = serving.spawner.last
    serving.slot.replace(order("second"))
    present = serving.make_ready()
    replaced = Watch(serving.slot.replace(order("third")))
    coming = serving.spawner.last
    gone = Watch(serving.slot.stop())
    assert [p.told_to_stop for p in (leaving, present, coming)] == [1, 1, 1]
    assert replaced.result is False
    for process in (present, coming):
        process.end()
        assert not gone.ended
    leaving.end()
    assert gone.ended


def test_in_a_pause_there_is_nothing_to_wait_for(place: Place) -> None:
    place.spawner.last.end("exit status 1")
    assert Watch(place.slot.stop()).ended
    assert place.clock.getDelayedCalls() == []


def test_stopped_twice_it_says_so_twice(serving: Place) -> None:
    watches = [Watch(serving.slot.stop()), Watch(serving.slot.stop())]
    serving.spawner.last.end()
    assert [watch.ended for watch in watches] == [True, True]
    assert serving.spawner.last.told_to_stop == 1
    assert Watch(serving.slot.stop()).ended


def test_what_is_gone_is_not_replaced(serving: Place) -> None:
    serving.slot.stop()
    assert Watch(serving.slot.replace(order("second"))).result is False


def test_one_that_becomes_ready_while_it_drains_is_let_go(place: Place) -> None:
    gone = Watch(place.slot.stop())
    place.make_ready()
    assert (place.slot.state, place.slot.ready) == (State.DRAINING, False)
    place.spawner.last.end()
    assert gone.ended


def test_the_table_leads_to_every_state_and_out_of_it() -> None:
    assert {state for state, _ in TABLE} == {*TABLE.values()} == {*State}
    assert {happening for _, happening in TABLE} == {*Happening}
