"""Workers whose bus is carried by something real; what they say and hear is all there is of them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from chatd.bus.carrier import Carrier
from chatd.bus.remote import RemoteBus
from chatd.bus.wiring import share
from chatd.handlers.catalogue import KINDS
from chatd.handlers.kinds import Reader
from chatd.records.base import Signal
from chatd.security.keyring import Keyring, MasterKeys
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.shared import SharedHub
from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.kit.line import Ring
from tests.kit.redis import RedisServer

MASTERS = MasterKeys({"1": bytes(range(32))})

Carry = Callable[[RemoteBus, Authors, SharedHub], Carrier]


class LinkedWorker:
    """A worker of ``database``. ``rung`` are the signals that it heard."""

    def __init__(self, database: MemoryDatabase, channel_of: Callable[[str], str], max_bytes: int) -> None:
        self.rung: list[Signal] = []
        self.unforeseen: list[BaseException] = []
        stores = memory_stores(database)
        self.authors = Authors(stores.keys, Keyring(MASTERS))
        shared = share(
            stores,
            Directory(stores.conversations),
            Reader(KINDS, self.authors, lambda entry, reason: None),
            reactor,
            failed=self.unforeseen.append,
            channel_of=channel_of,
            max_bytes=max_bytes,
            signals=(Ring,),
        )
        self.hub, self.bus, self.sweep = shared.hub, shared.bus, shared.sweep
        self.bus.subscribe(self.hub.receive, self.hub.notice, self.rung.append)
        self.carrier: Carrier

    def ring(self, what: str) -> None:
        self.bus.signal(Ring(what=what))

    @property
    def heard(self) -> list[str]:
        return [signal.what for signal in self.rung if isinstance(signal, Ring)]


@pytest.fixture
def workers() -> Iterator[Callable[..., list[LinkedWorker]]]:
    """Makes and starts so many workers: ``workers(2, carry, channel_of, max_bytes)``; they end after the test."""
    started: list[LinkedWorker] = []

    def start(number: int, carry: Carry, channel_of: Callable[[str], str], max_bytes: int) -> list[LinkedWorker]:
        database = MemoryDatabase(lambda: datetime.now(UTC))
        for _ in range(number):
            worker = LinkedWorker(database, channel_of, max_bytes)
            worker.carrier = carry(worker.bus, worker.authors, worker.hub)
            worker.carrier.startService()
            started.append(worker)
        return started

    yield start

    async def end() -> None:
        for worker in started:
            if worker.carrier.running:
                await worker.carrier.stopService()

    pytest_twisted.blockon(Deferred.fromCoroutine(end()))
    for worker in started:
        assert worker.unforeseen == []


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def bus_errors() -> Iterator[list[str]]:
    """What the bus logs that an operator has to see."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        if event["log_namespace"].startswith("chatd.bus") and event["log_level"] >= LogLevel.warn:
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)
