"""A cache in memory takes no more than it may."""

from twisted.internet.task import Clock

from chatd.cache.memory import OVERHEAD, MemoryCache
from tests.kit.at_once import at_once


def test_the_least_recently_used_go_first() -> None:
    cache = MemoryCache(Clock().seconds, 3 * (OVERHEAD + 10))
    for name in "abc":
        cache.put(name, b"x" * 10, 60)
    assert at_once(cache.get(["a"])) == [b"x" * 10]
    cache.put("d", b"x" * 10, 60)
    assert at_once(cache.get(["a", "b", "c", "d"])) == [b"x" * 10, None, b"x" * 10, b"x" * 10]
    assert cache.bytes == 3 * (OVERHEAD + 10)


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    cache = MemoryCache(Clock().seconds, OVERHEAD + 10)
    cache.put("a", b"x" * 11, 60)
    assert at_once(cache.get(["a"])) == [None]
    assert cache.bytes == 0


def test_room_is_made_by_what_is_forgotten_replaced_or_too_old() -> None:
    clock = Clock()
    cache = MemoryCache(clock.seconds, 1_000_000)
    cache.put("a", b"x" * 100, 60)
    cache.put("a", b"x", 1)
    cache.put("b", b"x", 60)
    assert cache.bytes == 2 * (OVERHEAD + 1)
    cache.forget(["b"])
    clock.advance(1)
    assert at_once(cache.get(["a"])) == [None]
    assert cache.bytes == 0
