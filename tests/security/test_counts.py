"""How many there are of each, here and elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.security.counts import UNTOLD_PART, KeyedCount

ALICE, BOB = b"alice", b"bob"
THERE, YONDER = b"there", b"yonder"


def count(most: int = 3, *, here: int = 0) -> KeyedCount:
    made = KeyedCount("connections", most)
    assert all(made.enter(ALICE) for _ in range(here))
    return made


def test_so_many_have_room_and_one_that_leaves_makes_room() -> None:
    here = count(2)
    assert [here.enter(ALICE) for _ in range(3)] == [True, True, False]
    assert here.enter(BOB)
    here.leave(ALICE)
    assert here.enter(ALICE)
    assert here.refused == 1


def test_what_there_is_elsewhere_takes_room_here_and_is_nobody_elses() -> None:
    here = count(3, here=1)
    here.learn(THERE, 1, [(ALICE, 1)])
    here.learn(YONDER, 1, [(ALICE, 1)])
    assert (here.full(ALICE), here.full(BOB), here.known(ALICE)) == (True, False, 3)
    here.learn(THERE, 2, [(ALICE, 0)])
    assert not here.full(ALICE)
    assert here.known(ALICE) == 2


def test_more_than_there_is_room_for_elsewhere_is_known_all_the_same() -> None:
    here = count(3, here=3)
    here.learn(THERE, 1, [(ALICE, 2)])
    here.leave(ALICE)
    assert not here.enter(ALICE)
    here.leave(ALICE)
    here.leave(ALICE)
    assert here.enter(ALICE)


def test_a_word_that_comes_twice_counts_once() -> None:
    here = count()
    for _ in range(2):
        here.learn(THERE, 1, [(ALICE, 2)])
    assert here.known(ALICE) == 2


def test_what_a_worker_told_before_and_not_again_holds_no_longer() -> None:
    here = count()
    here.learn(THERE, 1, [(ALICE, 1), (BOB, 1)])
    here.learn(THERE, 2, [(ALICE, 1)])
    here.learn(YONDER, 1, [(BOB, 1)])
    here.outdate(THERE, 2)
    here.outdate(b"unheard of", 2)
    assert (here.known(ALICE), here.known(BOB)) == (1, 1)


def test_nothing_is_left_of_a_worker_that_is_forgotten() -> None:
    here = count(here=1)
    here.learn(THERE, 1, [(ALICE, 2), (BOB, 1)])
    here.forget(THERE)
    here.forget(THERE)
    assert (here.known(ALICE), here.known(BOB)) == (1, 0)
    assert not here._elsewhere


def test_what_has_changed_is_told_once_and_as_it_is_by_then() -> None:
    here = count(here=2)
    assert here.tell(10, 2) == [(ALICE, 2)]
    assert here.tell(10, 2) == []
    here.leave(ALICE)
    here.enter(BOB)
    assert here.tell(10, 2) == [(ALICE, 1), (BOB, 1)]
    here.leave(BOB)
    assert here.tell(10, 2) == [(BOB, 0)]


def test_what_does_not_fit_is_told_next() -> None:
    here = count()
    for number in range(5):
        here.enter(bytes([number]))
    told = [here.tell(2, 1) for _ in range(4)]
    assert [[key[0] for key, _ in some] for some in told] == [[0, 1], [2, 3], [4], []]


def test_who_comes_and_goes_before_anybody_is_told_leaves_nothing_behind() -> None:
    here = count(here=1)
    here.leave(ALICE)
    assert not here.any_here
    assert not here._news


@pytest.mark.parametrize(("workers", "floor"), [(1, 25), (2, 13), (5, 5), (25, 1), (1000, 1)])
def test_the_more_workers_there_are_the_less_is_worth_telling(workers: int, floor: int) -> None:
    here = count(100)
    for _ in range(floor - 1):
        here.enter(ALICE)
        assert here.tell(10, workers) == []
    here.enter(ALICE)
    assert here.tell(10, workers) == [(ALICE, floor)]
    assert (workers - 1) * (floor - 1) < 100 * UNTOLD_PART


def test_what_is_no_longer_worth_telling_is_told_as_none() -> None:
    here = count(100, here=25)
    here.tell(10, 1)
    here.leave(ALICE)
    assert here.tell(10, 1) == [(ALICE, 0)]
    here.leave(ALICE)
    assert here.tell(10, 1) == []


def test_a_review_has_all_told_again_that_is_worth_it() -> None:
    here = count(100, here=25)
    here.enter(BOB)
    here.tell(10, 1)
    here.review(1)
    assert here.tell(10, 1) == [(ALICE, 25)]
    # With more workers less is worth it, and with fewer it takes more.
    here.review(100)
    assert here.tell(10, 100) == [(ALICE, 25), (BOB, 1)]
    here.review(1)
    assert here.tell(10, 1) == [(ALICE, 25), (BOB, 0)]


def test_what_has_changed_is_told_before_what_is_only_told_again_but_does_not_hold_it_up() -> None:
    here = count(1000)
    old = [bytes([number]) for number in range(10)]
    for key in old:
        here.enter(key)
    here.tell(10, 1000)
    here.review(1000)
    for key in old[5:]:
        here.enter(key)
    assert here.reviewing
    assert here.tell(6, 1000) == [*((key, 2) for key in old[5:9]), *((key, 1) for key in old[:2])]
    assert here.tell(6, 1000) == [(old[9], 2), *((key, 1) for key in old[2:5])]
    assert not here.reviewing
    assert here.tell(6, 1000) == []


keys = st.integers(0, 3).map(lambda number: bytes([number]))
words = st.one_of(
    st.tuples(st.just("learn"), st.sampled_from((THERE, YONDER)), st.lists(st.tuples(keys, st.integers(0, 5)))),
    st.tuples(st.just("outdate"), st.sampled_from((THERE, YONDER)), st.integers(0, 30)),
    st.tuples(st.just("forget"), st.sampled_from((THERE, YONDER)), st.none()),
)


@given(st.lists(words, max_size=30))
def test_what_is_known_of_others_is_the_last_that_each_told_of_each(said: list[tuple[str, bytes, object]]) -> None:
    here = count(1000)
    model: dict[tuple[bytes, bytes], tuple[int, int]] = {}
    for number, (what, worker, more) in enumerate(said):
        if what == "learn":
            assert isinstance(more, list)
            here.learn(worker, number, more)
            model.update({(worker, key): (amount, number) for key, amount in more})
        elif what == "outdate":
            assert isinstance(more, int)
            here.outdate(worker, more)
            model = {name: told for name, told in model.items() if name[0] != worker or told[1] >= more}
        else:
            here.forget(worker)
            model = {name: told for name, told in model.items() if name[0] != worker}
    for number in range(4):
        key = bytes([number])
        assert here.known(key) == sum(amount for (_, of), (amount, _) in model.items() if of == key)
    assert all(here._elsewhere.values())
