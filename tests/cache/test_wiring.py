"""Which cache the settings choose, and what is read by way of it."""

import sys
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock

from chatd.cache.redis import RedisCache
from chatd.cache.wiring import Caching, build_caching
from chatd.handlers.profiles import ProfilesChanged
from chatd.records.logs import Entry
from chatd.records.tokens import ShownToken
from chatd.security.keyring import Keyring
from chatd.settings.base import Secret, SettingsError
from chatd.settings.issuers import IntrospectionSettings
from chatd.settings.model import Cache, Redis, Settings
from chatd.state.authors import Authors
from chatd.state.exchange import Exchange
from chatd.state.ids import event_queue
from chatd.state.verdicts import Verdict
from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.kit.at_once import at_once
from tests.kit.delivery import NOON
from tests.kit.shelves import MASTERS

STORES = memory_stores(MemoryDatabase(lambda: NOON))


def built(clock: Any = None, **settings: Any) -> Caching:
    clock = clock or Clock()
    authors = Authors(STORES.keys, Keyring(MASTERS))
    return build_caching(
        Settings(**settings), clock, STORES, authors, lambda: 1e9 + clock.seconds(), lambda: "an-epoch"
    )


def figures(caching: Caching) -> dict[str, float]:
    return {name: value() for name, _, value in caching.figures}


def test_without_a_cache_everything_is_as_it_was() -> None:
    caching = built()
    assert caching.stores is STORES
    assert (caching.watches, caching.figures, caching.condition()) == ((), (), None)
    assert caching.shared(IntrospectionSettings(url="https://a", client_id="c"), "a") is None
    caching.listen(Exchange(lambda error: None))


def test_in_memory_profiles_pages_and_verdicts_are_kept() -> None:
    caching = built(cache=Cache(kind="memory"))
    exchange = Exchange(lambda error: None)
    caching.listen(exchange)
    at_once(STORES.profiles.claim(_profile("alice", b"A")))
    profiles = caching.stores.profiles
    for _ in range(2):
        assert [one.sealed for one in at_once(profiles.profiles(["alice"]))] == [b"A"]
    at_once(STORES.profiles.claim(_profile("alice", b"B")))
    assert [one.sealed for one in at_once(profiles.profiles(["alice"]))] == [b"A"]
    exchange.heed(ProfilesChanged(users=("alice",)))
    assert [one.sealed for one in at_once(profiles.profiles(["alice"]))] == [b"B"]
    counted = figures(caching)
    assert (counted["cache_profiles_hits"], counted["cache_profiles_misses"]) == (2, 2)
    assert counted["cache_messages_hits"] == counted["cache_verdicts_refusals"] == 0
    assert {name for name in counted if name.count("_") == 2} == {
        f"cache_{use}_{what}" for use in ("messages", "profiles", "verdicts") for what in ("hits", "misses", "refusals")
    }


def _profile(user: str, sealed: bytes) -> Entry:
    return Entry(
        conversation=event_queue(user),
        seq=0,
        time=NOON,
        author=user,
        client_id="",
        kind="profile.updated",
        sealed=sealed,
    )


def test_verdicts_of_all_issuers_are_counted_together() -> None:
    caching = built(cache=Cache(kind="memory"))
    for name in ("a", "b"):
        shared: Any = caching.shared(IntrospectionSettings(url="https://a", client_id="c", every_seconds=10), name)
        assert at_once(shared.get(ShownToken("t"), lambda: 0.0)) is None
        shared.keep(ShownToken("t"), Verdict(active=True, at=0.0, user="alice"), shared.now())
        assert at_once(shared.get(ShownToken("t"), lambda: 0.0)).user == "alice"
    assert figures(caching)["cache_verdicts_hits"] == 2


def test_in_redis_there_is_something_to_start() -> None:
    caching = built(reactor, cache=Cache(kind="redis"), redis=Redis(url=Secret("redis://127.0.0.1:1")))
    [watch] = caching.watches
    assert isinstance(watch, RedisCache)
    counted = figures(caching)
    assert (counted["cache_linked"], counted["cache_failures"]) == (0, 0)
    condition = caching.condition()
    assert condition is not None
    assert (condition.state, condition.detail) == ("degraded", "all is read from the database")
    watch.stop()


@pytest.mark.parametrize("url", ["http://h", "rediss://h"])
def test_what_is_wrong_about_redis_stops_the_start(url: str, tmp_path: Any) -> None:
    nothing = tmp_path / "ca.pem"
    nothing.touch()
    with pytest.raises(SettingsError, match=r"redis\.url"):
        built(reactor, cache=Cache(kind="redis"), redis=Redis(url=Secret(url), ca_file=str(nothing)))


def test_redis_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "chatd.cache.redis", raising=False)
    monkeypatch.setitem(sys.modules, "txredisapi", None)
    monkeypatch.delitem(sys.modules, "chatd.redis.session", raising=False)
    with pytest.raises(SettingsError, match=r"chatd\[redis\]"):
        built(reactor, cache=Cache(kind="redis"), redis=Redis(url=Secret("redis://h")))
