"""Which bus the settings choose."""

from typing import Any

import pytest
from twisted.internet import reactor

from chatd.bus.local import LocalBus
from chatd.bus.postgresql import PostgresBus
from chatd.bus.redis import RedisBus
from chatd.bus.remote import RemoteBus
from chatd.bus.wiring import Wiring, kind_of, wire
from chatd.handlers.kinds import Reader
from chatd.security.keyring import Keyring
from chatd.settings.base import Secret, SettingsError
from chatd.settings.model import Bus, Redis, Settings
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.hub import Hub
from chatd.state.shared import SharedHub
from chatd.store.memory.database import MemoryDatabase
from chatd.store.pool import Pool
from chatd.store.stores import memory_stores
from tests.bus.conftest import MASTERS
from tests.kit.delivery import NOON


def wired(**settings: Any) -> Wiring:
    stores = memory_stores(MemoryDatabase(lambda: NOON))
    authors = Authors(stores.keys, Keyring(MASTERS))
    reader = Reader((), authors, lambda entry, reason: None)
    pool, directory = Pool(reactor, "host=/nowhere", size=1), Directory(stores.conversations)
    return wire(Settings(**settings), reactor, pool, stores, directory, authors, reader, failed=lambda error: None)


@pytest.mark.parametrize(
    ("kind", "workers", "chosen"),
    [
        ("auto", 0, "local"),
        # When it is replaced, there are two for a while.
        ("auto", 1, "postgresql"),
        ("auto", "auto", "postgresql"),
        ("postgresql", 0, "postgresql"),
        ("redis", 4, "redis"),
    ],
)
def test_auto_is_what_the_number_of_workers_needs(kind: Any, workers: Any, chosen: str) -> None:
    assert kind_of(Settings(workers=workers, bus=Bus(kind=kind))) == chosen


def test_a_lone_worker_is_given_nothing_to_carry() -> None:
    wiring = wired()
    assert isinstance(wiring.bus, LocalBus)
    assert type(wiring.hub) is Hub
    assert (wiring.carrier, wiring.figures, wiring.condition()) == (None, (), None)


@pytest.mark.parametrize(
    ("settings", "carrier"),
    [
        ({"bus": Bus(kind="postgresql")}, PostgresBus),
        ({"bus": Bus(kind="redis"), "redis": Redis(url=Secret("redis://localhost"))}, RedisBus),
        ({"bus": Bus(kind="redis"), "redis": Redis(url=Secret("rediss://localhost"))}, RedisBus),
        ({"bus": Bus(kind="redis"), "redis": Redis(url=Secret("unix:///run/redis"))}, RedisBus),
    ],
)
def test_workers_among_others_are_given_a_carrier_and_figures(settings: Any, carrier: type) -> None:
    wiring = wired(**settings)
    assert isinstance(wiring.bus, RemoteBus)
    assert isinstance(wiring.hub, SharedHub)
    assert isinstance(wiring.carrier, carrier)
    figures = {name: value() for name, _, value in wiring.figures}
    assert set(figures.values()) == {0}
    assert "bus_linked" in figures
    condition = wiring.condition()
    assert condition is not None
    assert condition.state == "degraded"


def test_a_url_that_leads_nowhere_is_refused_at_the_start_without_being_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        wired(bus=Bus(kind="redis"), redis=Redis(url=Secret("http://:hunter2@host")))
    assert "redis.url" in str(refused.value)
    assert "hunter2" not in str(refused.value)
