"""Workers on PostgreSQL, each with a pool of its own: the way of a command from the router to the database."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed

from chatd.bus.local import LocalBus
from chatd.handlers.assembly import Parts, assemble
from chatd.handlers.catalogue import KINDS
from chatd.handlers.kinds import Reader
from chatd.router import Lanes, Router, command_union
from chatd.security.keyring import Keyring
from chatd.settings import Groups, Limits, Tokens
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub
from chatd.state.relations import Strangers
from chatd.store.pool import Pool
from chatd.store.writer import LogWriter
from tests.kit.stores import new_client_id, postgres_stores
from tests.kit.world import MASTERS


class PostgresWorker:
    """One of several workers on one database. They hear nothing of each other: what holds, holds by the database."""

    def __init__(self, pool: Pool, groups: Groups | None = None) -> None:
        self.failed: list[Any] = []
        stores = postgres_stores(pool, self.failed.append)
        self.stores, bus, directory = stores, LocalBus(), Directory(stores.conversations)
        authors = Authors(stores.keys, Keyring(MASTERS))
        reader = Reader(KINDS, authors, lambda entry, reason: self.failed.append(reason))
        hub, exchange = Hub(reader.event), Exchange(self.failed.append)
        bus.subscribe(hub.receive, hub.notice, exchange.heed)
        writer = LogWriter(stores.log, bus, directory, max_waiting=1000, failed=self.failed.append)
        handlers = assemble(
            Parts(
                stores=stores,
                log=writer,
                bus=bus,
                hub=hub,
                exchange=exchange,
                directory=directory,
                authors=authors,
                reader=reader,
                relations=Strangers(),
                limits=Limits(),
            tokens=Tokens(),
                groups=groups or Groups(),
                now=lambda: datetime.now(UTC),
            )
        )
        self.router = Router(handlers, lambda command, error: self.failed.append((command, error)))
        self._commands = command_union(self.router.declarations)

    def ask(self, who: str, name: str, /, **fields: Any) -> Deferred[Any]:
        """Carry out a command of somebody's; it is under way when this returns."""
        if name not in ("member.list", "history.get", "group.get"):
            fields.setdefault("client_id", new_client_id())
        command = msgspec.convert({"id": 1, "type": name, **fields}, self._commands)
        return self.router.dispatch(_Caller(who), command)


class _Caller:
    delivery = None
    device = "phone"

    def __init__(self, user: str) -> None:
        self.user = user
        self.lanes = Lanes()

    def drained(self) -> Deferred[None]:
        return succeed(None)
