"""What a worker keeps about people: never more than there is room for, and never what it was told is old."""

from collections.abc import Mapping, Sequence

import pytest
from twisted.internet.defer import Deferred

from chatd.state.kept import Kept
from tests.kit.at_once import at_once, watch


class Source:
    """Where values are read: each user's is the number of reads so far. ``held`` has a read wait."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, ...]] = []
        self.held: Deferred[None] | None = None

    async def read(self, users: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(tuple(users))
        number = len(self.asked)
        if self.held is not None:
            await self.held
        return dict.fromkeys(users, number)

    def kept(self, capacity: int = 100) -> Kept[int]:
        return Kept(self.read, clock=lambda: self.now, seconds=10.0, capacity=capacity, size=lambda value: 1)


@pytest.fixture
def source() -> Source:
    return Source()


def test_several_are_read_at_once_and_only_those_that_are_not_kept(source: Source) -> None:
    kept = source.kept()
    assert at_once(kept.get(["a", "b", "a"])) == {"a": 1, "b": 1}
    assert at_once(kept.get(["b", "c"])) == {"b": 1, "c": 2}
    assert source.asked == [("a", "b"), ("c",)]


def test_what_is_old_is_read_again(source: Source) -> None:
    kept = source.kept()
    at_once(kept.get(["a"]))
    source.now = 9.9
    assert at_once(kept.get(["a"])) == {"a": 1}
    source.now = 10.0
    assert at_once(kept.get(["a"])) == {"a": 2}


def test_what_is_forgotten_is_read_again_and_nothing_else(source: Source) -> None:
    kept = source.kept()
    at_once(kept.get(["a", "b"]))
    kept.forget(["a", "never seen"])
    assert at_once(kept.get(["a", "b"])) == {"a": 2, "b": 1}


def test_what_was_being_read_when_it_changed_is_not_kept(source: Source) -> None:
    kept = source.kept()
    source.held = Deferred()
    reading = watch(kept.get(["a"]))
    kept.forget(["a"])
    source.held.callback(None)
    assert reading.result == {"a": 1}
    source.held = None
    assert at_once(kept.get(["a"])) == {"a": 2}


def test_the_least_recently_used_goes_first(source: Source) -> None:
    kept = source.kept(capacity=2)
    for user in ("a", "b", "a", "c"):
        at_once(kept.get([user]))
    assert source.asked == [("a",), ("b",), ("c",)]
    at_once(kept.get(["a", "b"]))
    assert source.asked[-1] == ("b",)


def test_room_is_counted_in_what_the_values_take(source: Source) -> None:
    kept: Kept[int] = Kept(source.read, clock=lambda: 0.0, seconds=1.0, capacity=3, size=lambda value: value)
    for user in ("a", "b", "b", "c"):
        at_once(kept.get([user]))
    # 1 and 2 fit, and with 3 more only that one.
    assert at_once(kept.get(["c"])) == {"c": 3}
    assert at_once(kept.get(["b"])) == {"b": 4}


def test_what_is_larger_than_all_room_is_kept_alone(source: Source) -> None:
    kept: Kept[int] = Kept(source.read, clock=lambda: 0.0, seconds=1.0, capacity=1, size=lambda value: 5)
    at_once(kept.get(["a"]))
    at_once(kept.get(["a"]))
    assert len(source.asked) == 1
