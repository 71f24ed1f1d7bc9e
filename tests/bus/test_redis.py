"""The bus over a real Redis, which is trusted with nothing."""

from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.bus import carrier as carrier_module
from chatd.bus.redis import MAX_BYTES, MAX_UNREAD, RedisBus, channels
from chatd.redis.address import RedisAddress, endpoint
from chatd.state.delivery import Delivery
from chatd.state.ids import event_queue
from chatd.state.outbox import Outbox
from tests.kit.delivery import Packets
from tests.kit.proxy import Proxy
from tests.kit.redis import RedisServer
from tests.kit.until import until


def over(url: str, bus: Any, authors: Any, hub: Any) -> RedisBus:
    address = RedisAddress.parse(url)
    carrier = RedisBus(reactor, endpoint(reactor, address, ""), address, bus, authors, prefix="test")
    hub.interest.begun = carrier.listen
    return carrier


@pytest.fixture
def start(workers: Any) -> Any:
    return lambda url, number=2: workers(number, partial(over, url), channels("test"), MAX_BYTES)


def linked(workers: Any) -> bool:
    return all(worker.bus.linked for worker in workers)


@pytest_twisted.ensureDeferred
async def test_what_one_says_all_hear_once_and_in_order(start: Any, redis: RedisServer) -> None:
    one, other = both = start(redis.url)
    await until(lambda: linked(both))
    for n in range(2000):
        one.ring(str(n))
    await until(lambda: len(other.heard) >= 2000)
    assert one.heard == other.heard == [str(n) for n in range(2000)]


@pytest_twisted.ensureDeferred
async def test_a_redis_that_dies_and_comes_back_costs_time_only(start: Any, redis: RedisServer) -> None:
    one, other = both = start(redis.url)
    await until(lambda: linked(both))
    looks = other.sweep.taken
    redis.kill()
    await until(lambda: not one.bus.linked and not other.bus.linked)
    redis.start()
    await until(lambda: linked(both))
    await until(lambda: other.sweep.taken > looks)
    redis.ask("FLUSHALL")
    one.ring("afterwards")
    await until(lambda: other.heard == ["afterwards"])


@pytest_twisted.ensureDeferred
async def test_a_network_that_swallows_everything_is_noticed(
    start: Any, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, bus_errors: list[str]
) -> None:
    with Proxy(("127.0.0.1", redis.port)) as proxy:
        one, other = both = start(f"redis://127.0.0.1:{proxy.port}")
        await until(lambda: linked(both))
        proxy.blackhole()
        monkeypatch.setattr(carrier_module, "DEAF_SECONDS", 0.0)
        for worker in both:
            worker.carrier._beat()
        monkeypatch.undo()
        await until(lambda: not one.bus.linked and not other.bus.linked)
        proxy.passing()
        proxy.cut()
        await until(lambda: linked(both))
        one.ring("afterwards")
        await until(lambda: "afterwards" in other.heard)
    assert any("PUBLISH" in error for error in bus_errors)


@pytest_twisted.ensureDeferred
async def test_whatever_else_is_published_is_refused_and_who_says_too_much_is_cut_off(
    start: Any, redis: RedisServer
) -> None:
    one, other = both = start(redis.url)
    await until(lambda: linked(both))
    for payload in (b"", b"hello", b"\x00" * 100, b"x" * MAX_BYTES):
        redis.ask("PUBLISH", "test:all", payload)
    await until(lambda: one.bus.refused == other.bus.refused == 4)
    redis.ask("PUBLISH", "test:all", b"x" * (2 * MAX_UNREAD))
    await until(lambda: one.bus.links == other.bus.links == 2)
    await until(lambda: linked(both))
    one.ring("still here")
    await until(lambda: other.heard == ["still here"])


@pytest_twisted.ensureDeferred
async def test_it_listens_to_the_channels_of_those_who_are_connected(start: Any, redis: RedisServer) -> None:
    [worker] = start(redis.url, 1)
    await until(lambda: worker.bus.linked)
    looks = worker.sweep.taken
    outbox: Any = Outbox(lambda frame: None, lambda: None, event_bytes=1, total_bytes=1)
    for user in ("alice", "alice", "bob"):
        worker.hub.attach(user, Delivery(outbox, Packets()))
    wanted = {channels("test")(event_queue(user)) for user in ("alice", "bob")} | {"test:all"}
    await until(lambda: all(f"{name}" in redis.ask("PUBSUB", "CHANNELS", "test:*") for name in wanted))
    await until(lambda: worker.sweep.taken > looks)
    redis.kill()
    redis.start()
    await until(lambda: all(f"{name}" in redis.ask("PUBSUB", "CHANNELS", "test:*") for name in wanted))


@pytest_twisted.ensureDeferred
async def test_it_gives_the_name_and_password_that_the_url_holds(start: Any, redis: RedisServer) -> None:
    """And needs no more rights than the documentation says."""
    rights = ("resetchannels", "&test:*", "-@all", "+publish", "+subscribe")
    assert redis.ask("ACL", "SETUSER", "chat", "on", ">p%ss", *rights) == "+OK\r\n"
    redis.ask("ACL", "SETUSER", "default", "off")
    one, other = both = start(f"redis://chat:p%25ss@127.0.0.1:{redis.port}")
    await until(lambda: linked(both))
    one.ring("allowed")
    await until(lambda: other.heard == ["allowed"])


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_said_and_tried_again(
    start: Any, tmp_path_factory: pytest.TempPathFactory, bus_errors: list[str]
) -> None:
    with RedisServer(tmp_path_factory.mktemp("redis"), "--requirepass", "right") as guarded:
        [worker] = start(f"redis://:hunter2@127.0.0.1:{guarded.port}", 1)
        await until(lambda: any("the bus is away" in line for line in bus_errors))
        assert not worker.bus.linked
        assert not any("hunter2" in line for line in bus_errors)
