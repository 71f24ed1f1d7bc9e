"""A cache in a real Redis, whatever becomes of that: nobody waits for long, nothing fails, and it comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from chatd.cache import redis as module
from chatd.cache.redis import MAX_UNREAD, RedisCache
from chatd.redis.address import RedisAddress, endpoint
from chatd.security.breaker import LIMIT
from tests.kit.redis import RedisServer
from tests.kit.until import until
from tests.kit.workers import stopped


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What an operator is told."""
    seen: list[str] = []

    def note(event: LogEvent) -> None:
        if event["log_namespace"].startswith("chatd.") and event["log_level"] >= LogLevel.warn:
            seen.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield seen
    globalLogPublisher.removeObserver(note)


@contextmanager
def started(url: str, timeout: float = 5.0) -> Iterator[RedisCache]:
    address = RedisAddress.parse(url)
    way = endpoint(reactor, address, "")
    cache = RedisCache(reactor, way, address, prefix="test", timeout=timeout, random=lambda: 0.0)
    cache.start()
    try:
        yield cache
    finally:
        cache.stop()


async def found(cache: RedisCache, *names: str) -> list[bytes | None]:
    """What is found, in the end."""
    results: list[list[bytes | None]] = []

    async def look() -> bool:
        results.append(await cache.get(names))
        return None not in results[-1]

    deadline = reactor.seconds() + 30
    while not await look():
        assert reactor.seconds() < deadline
        await until(lambda: not cache._breaker.refusing)
        for name in names:
            cache.put(name, b"again", 60)
    return results[-1]


@pytest_twisted.ensureDeferred
async def test_without_redis_nothing_is_found_and_nothing_fails(redis: RedisServer, lines: list[str]) -> None:
    with started(redis.url) as cache:
        redis.kill()
        cache.put("a", b"1", 60)
        cache.forget(["a"])
        assert await cache.get(["a", "b"]) == [None, None]
        await until(lambda: any("is without Redis" in line for line in lines))
        redis.start()
        await until(lambda: cache.connected)
        cache.put("a", b"2", 60)
        assert await found(cache, "a") == [b"2"]


@pytest_twisted.ensureDeferred
async def test_whatever_keeps_it_from_connecting_is_told_and_tried_again(redis: RedisServer, lines: list[str]) -> None:
    class Broken:
        tries = 0

        def connect(self, factory: Any) -> Any:
            self.tries += 1
            if self.tries == 1:
                raise ZeroDivisionError
            return endpoint(reactor, address, "").connect(factory)

    address = RedisAddress.parse(redis.url)
    way: Any = Broken()
    cache = RedisCache(reactor, way, address, prefix="test", timeout=1.0, random=lambda: 0.0)
    cache.start()
    await until(lambda: cache.connected)
    cache.stop()
    await until(lambda: not cache.connected)
    assert any("the cache failed" in line for line in lines)
    assert way.tries == 2


@pytest_twisted.ensureDeferred
async def test_a_redis_that_dies_and_comes_back_is_used_again(redis: RedisServer) -> None:
    with started(redis.url) as cache:
        await until(lambda: cache.connected)
        cache.put("a", b"1", 60)
        assert await found(cache, "a") == [b"1"]
        redis.kill()
        # Before this is noticed, and after.
        cache.put("b", b"1", 60)
        assert await cache.get(["a"]) == [None]
        await until(lambda: not cache.connected)
        assert await cache.get(["a"]) == [None]
        redis.start()
        await until(lambda: cache.connected)
        assert await found(cache, "a") == [b"again"]
        redis.ask("FLUSHALL")
        assert await cache.get(["a"]) == [None]
        assert await found(cache, "a") == [b"again"]


@pytest_twisted.ensureDeferred
async def test_a_redis_that_stands_still_is_waited_for_a_few_times_and_then_left_alone(redis: RedisServer) -> None:
    with started(redis.url, timeout=0.05) as cache:
        await until(lambda: cache.connected)
        cache.put("a", b"1", 60)
        assert (await found(cache, "a"))[0] in (b"1", b"again")
        failures = cache.failures
        with stopped(redis.pid):
            for _ in range(LIMIT):
                assert await cache.get(["a"]) == [None]
            assert cache.failures == failures + LIMIT
            before = reactor.seconds()
            for _ in range(1000):
                assert await cache.get(["a"]) == [None]
                cache.put("b", b"x" * 1000, 60)
            assert cache.failures == failures + LIMIT
            assert cache._pending <= LIMIT + 1
            assert reactor.seconds() - before < 1000 * 0.05, "they did not wait"
        assert (await found(cache, "a"))[0] in (b"1", b"again")


@pytest_twisted.ensureDeferred
async def test_who_stops_waiting_leaves_the_cache_as_it_was(redis: RedisServer) -> None:
    with started(redis.url) as cache:
        await until(lambda: cache.connected)
        with stopped(redis.pid):
            for _ in range(LIMIT):
                asking = Deferred.fromCoroutine(cache.get(["a"]))
                asking.addErrback(lambda failure: None)
                asking.cancel()
            assert cache._breaker.refusing
        cache.put("a", b"1", 60)
        assert await found(cache, "a") == [b"again"]


@pytest_twisted.ensureDeferred
async def test_no_more_is_asked_than_may_be_pending(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    with started(redis.url) as cache:
        await until(lambda: cache.connected)
        for n in range(10):
            cache.put(str(n), b"1", 60)
        assert await cache.get(["0"]) == [None]
        await until(lambda: cache._pending == 0)
        assert await cache.get(["0", "1", "2", "3"]) == [b"1", b"1", b"1", None]


@pytest_twisted.ensureDeferred
async def test_values_of_another_kind_and_ten_megabytes_cost_a_miss(redis: RedisServer) -> None:
    with started(redis.url) as cache:
        await until(lambda: cache.connected)
        cache.put("a", b"1", 60)
        redis.ask("LPUSH", "test:cache:list", "1")
        assert await cache.get(["list", "a"]) == [None, b"1"]
        redis.ask("SET", "test:cache:big", b"x" * 10_000_000)
        assert await cache.get(["big", "a"]) == [None, None]
        await until(lambda: not cache.connected)
        await until(lambda: cache.connected)
        assert await found(cache, "a") == [b"1"]


@pytest_twisted.ensureDeferred
async def test_it_needs_no_more_rights_than_the_documentation_says(redis: RedisServer, lines: list[str]) -> None:
    rights = ("resetkeys", "~test:cache:*", "resetchannels", "-@all", "+mget", "+set", "+del")
    assert redis.ask("ACL", "SETUSER", "chat", "on", ">p%ss", *rights) == "+OK\r\n"
    redis.ask("ACL", "SETUSER", "default", "off")
    with started(f"redis://chat:p%25ss@127.0.0.1:{redis.port}") as cache:
        await until(lambda: cache.connected)
        for name in "ab":
            cache.put(name, b"1", 60)
        cache.forget(["a"])
        assert await cache.get(["a", "b"]) == [None, b"1"]
        assert cache.failures == 0
    with started(f"redis://chat:hunter2@127.0.0.1:{redis.port}") as cache:
        await until(lambda: any("WRONGPASS" in line for line in lines))
        assert not cache.connected
    assert not any("hunter2" in line for line in lines)


@pytest_twisted.ensureDeferred
async def test_what_it_may_not_do_is_counted(redis: RedisServer) -> None:
    redis.ask("ACL", "SETUSER", "chat", "on", ">p", "~*", "-@all", "+mget")
    with started(f"redis://chat:p@127.0.0.1:{redis.port}") as cache:
        await until(lambda: cache.connected)
        cache.put("a", b"1", 60)
        cache.forget(["a"])
        assert await cache.get(["a"]) == [None]
        assert cache.failures == 2


class Chatterbox(Protocol):
    """Says more than it was asked."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"*1\r\n$1\r\nx\r\n+OK\r\n")


@pytest_twisted.ensureDeferred
async def test_a_reply_to_nothing_ends_the_connection(lines: list[str]) -> None:
    """Or the next one would take it for its own."""
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Chatterbox))
    with started(f"redis://127.0.0.1:{port.getHost().port}") as cache:
        await until(lambda: cache.connected)
        assert await cache.get(["a"]) == [b"x"]
        await until(lambda: any("its connection ended" in line for line in lines))
    await port.stopListening()


class Liar(Protocol):
    """Answers everything with the same."""

    says = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.says)


@pytest.mark.parametrize(
    "says",
    [
        b"garbage\r\n" * 100,
        b"\xff\xfe\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"-ERR no\r\n",
        b"$-7\r\n",
        b"$x\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*x\r\n",
        b"*1\r\n" * 5000,
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*1\r\n:5\r\n",
        b"*1\r\n$-1\r\n" * 500,
        b"*1\r\n$99999999999\r\n" + b"x" * (MAX_UNREAD + 1),
        b"+" + b"x" * 100_000,
    ],
    ids=range(16),
)
@pytest_twisted.ensureDeferred
async def test_whatever_is_answered_nothing_fails(says: bytes) -> None:
    liar = Factory.forProtocol(type("Telling", (Liar,), {"says": says}))
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(liar)
    unhandled: list[Any] = []
    observer = unhandled.append
    globalLogPublisher.addObserver(observer)
    try:
        with started(f"redis://127.0.0.1:{port.getHost().port}", timeout=0.05) as cache:
            for _ in range(3):
                await until(lambda: cache.connected)
                cache.put("a", b"1", 60)
                assert await cache.get(["a"]) == [None]
                cache.forget(["a"])
    finally:
        globalLogPublisher.removeObserver(observer)
        await port.stopListening()
    assert [event for event in unhandled if event.get("log_level", LogLevel.info) >= LogLevel.error] == []
