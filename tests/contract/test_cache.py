"""What is promised of a cache, whichever it is."""

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from chatd.cache.memory import MemoryCache
from chatd.cache.redis import RedisCache
from chatd.interfaces.cache import ICache
from chatd.redis.address import RedisAddress, endpoint
from tests.kit.redis import RedisServer
from tests.kit.until import until

BINARY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryCache(reactor.seconds, 1_000_000)
        return
    redis = request.getfixturevalue("redis")
    redis.ask("FLUSHALL")
    address = RedisAddress.parse(redis.url)
    cache = RedisCache(reactor, endpoint(reactor, address, ""), address, prefix="test", timeout=5.0)
    cache.start()
    pytest_twisted.blockon(Deferred.fromCoroutine(until(lambda: cache.connected)))
    yield cache
    cache.stop()


def test_it_is_what_it_says(cache: Any) -> None:
    assert verifyObject(ICache, cache)


@pytest_twisted.ensureDeferred
async def test_what_was_put_is_found_in_the_order_asked_for(cache: Any) -> None:
    cache.put("a", b"", 60)
    cache.put("b", BINARY, 60)
    assert await cache.get(["b", "none", "a", "b"]) == [BINARY, None, b"", BINARY]
    assert await cache.get([]) == []


@pytest_twisted.ensureDeferred
async def test_the_last_value_counts_and_what_is_forgotten_is_gone(cache: Any) -> None:
    cache.put("a", b"1", 60)
    cache.put("a", b"2", 60)
    cache.put("b", b"3", 60)
    cache.forget(["b", "never there"])
    cache.forget([])
    assert await cache.get(["a", "b"]) == [b"2", None]


@pytest_twisted.ensureDeferred
async def test_a_value_is_kept_for_its_time(cache: Any) -> None:
    cache.put("short", b"1", 0.05)
    cache.put("long", b"2", 60)
    await deferLater(reactor, 0.1)
    assert await cache.get(["short", "long"]) == [None, b"2"]
