"""Several workers of one chatd in this process: each with its own pool and memory, one database, one bus."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from chatd.bus.local import LocalBus
from chatd.contacts.memory import MemoryContacts
from chatd.handlers.assembly import Parts, Stores, assemble
from chatd.handlers.catalogue import KINDS
from chatd.handlers.kinds import Reader
from chatd.interfaces.bus import IBus
from chatd.records.base import Signal
from chatd.records.logs import Publication
from chatd.router import Lanes, Router, command_union
from chatd.security.keyring import Keyring
from chatd.settings.limits import Limits
from chatd.settings.model import Groups, PresenceSettings, Search, Tokens
from chatd.state.authors import Authors
from chatd.state.delivery import Delivery
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub
from chatd.state.relations import Relations
from chatd.store.writer import LogWriter
from chatd.wire.events import EphemeralEvent
from chatd.workers.rhythm import Rhythm
from tests.kit.stores import new_client_id
from tests.kit.world import MASTERS


@implementer(IBus)
class SharedBus:
    """Hands on to all workers that have subscribed."""

    def __init__(self) -> None:
        self._buses: list[LocalBus] = []

    def subscribe(
        self,
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
        heed: Callable[[Signal], None],
    ) -> None:
        self._buses.append(LocalBus())
        self._buses[-1].subscribe(receive, notice, heed)

    def publish(self, publications: Sequence[Publication]) -> None:
        for bus in self._buses:
            bus.publish(publications)

    def notify(self, users: Collection[str], event: EphemeralEvent) -> None:
        for bus in self._buses:
            bus.notify(users, event)

    def signal(self, signal: Signal) -> None:
        for bus in self._buses:
            bus.signal(signal)


class Worker:
    """One of them. ``failed`` takes what would be logged."""

    def __init__(
        self,
        stores: Stores,
        bus: IBus,
        reactor: IReactorTime,
        failed: list[BaseException],
        groups: Groups | None = None,
    ) -> None:
        self.failed, self.stores = failed, stores
        authors = Authors(stores.keys, Keyring(MASTERS))
        directory = Directory(stores.conversations)
        exchange = Exchange(failed.append)
        reader = Reader(KINDS, authors, lambda entry, reason: failed.append(AssertionError(reason)))
        hub = Hub(reader.event)
        bus.subscribe(hub.receive, hub.notice, exchange.heed)
        self.relations = Relations(
            stores.relations, exchange, reactor.seconds, policy="anyone", contacts=MemoryContacts()
        )
        self._router = Router(
            assemble(
                Parts(
                    stores=stores,
                    log=LogWriter(stores.log, bus, directory, max_waiting=1000, failed=failed.append),
                    bus=bus,
                    hub=hub,
                    exchange=exchange,
                    directory=directory,
                    authors=authors,
                    reader=reader,
                    relations=self.relations,
                    limits=Limits(),
                    tokens=Tokens(),
                    token_reader=None,
                    groups=groups or Groups(),
                    presence=PresenceSettings(),
                    rhythm=Rhythm(reactor, failed.append),
                    search=Search(),
                    gauge=lambda name, help, value: None,
                    now=lambda: datetime.now(UTC),
                    epoch=lambda: "an-epoch",
                )
            ),
            lambda command, error, caller: failed.append(error),
        )
        self._commands = command_union(self._router.declarations)
        self._fields = {one.name: one.shape.__struct_fields__ for one in self._router.declarations}

    def person(self, user: str) -> "Person":
        """Somebody who asks this worker over HTTP."""
        return Person(self, user)

    def ask(self, who: str, name: str, /, **fields: Any) -> Deferred[Any]:
        """Carry out a command of somebody's, under a ``client_id`` of its own; it is under way when this returns."""
        if "client_id" in self._fields[name]:
            fields.setdefault("client_id", new_client_id())
        return self.person(who).ask(name, **fields)

    def dispatch(self, caller: "Person", name: str, fields: dict[str, Any]) -> Deferred[Any]:
        return self._router.dispatch(caller, msgspec.convert({"id": 1, "type": name, **fields}, self._commands))


class Person:
    """The caller behind commands; those into one conversation keep their order."""

    delivery: Delivery[Any] | None = None
    device = "phone"
    token_id: str | None = None

    def __init__(self, worker: Worker, user: str) -> None:
        self._worker = worker
        self.user = user
        self.lanes = Lanes()

    def ask(self, name: str, /, **fields: Any) -> Deferred[Any]:
        """The reply, or the error."""
        return self._worker.dispatch(self, name, fields)

    def drained(self) -> Deferred[None]:
        return succeed(None)
