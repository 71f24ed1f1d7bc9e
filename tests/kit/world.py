"""One worker's handlers, all as they are, over the store in memory; and devices that ask them through the router."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from chatd.bus.local import LocalBus
from chatd.contacts.memory import MemoryContacts
from chatd.errors import OutcomeUnknown, Unauthorized
from chatd.handlers.assembly import Parts, Stores, assemble
from chatd.handlers.catalogue import DECLARATIONS, KINDS
from chatd.handlers.indexing import Indexer
from chatd.handlers.kinds import Reader
from chatd.interfaces.people import IRelations
from chatd.interfaces.tokens import ITokenReader
from chatd.records.logs import Draft, Entry
from chatd.records.rosters import ConversationKind
from chatd.records.tokens import Claims
from chatd.router import Lanes, Router, command_union
from chatd.security.keyring import Keyring, MasterKeys
from chatd.settings.limits import Limits
from chatd.settings.model import ContactPolicy, Groups, PresenceSettings, Search, Tokens
from chatd.state.authors import Authors
from chatd.state.delivery import Delivery
from chatd.state.directory import Directory
from chatd.state.exchange import Exchange
from chatd.state.hub import Hub
from chatd.state.ids import event_queue
from chatd.state.outbox import Outbox
from chatd.state.relations import Relations
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.presence import MemoryPresence
from chatd.store.stores import memory_stores
from chatd.store.writer import LogWriter
from chatd.wire.events import Event, LogEvent
from chatd.workers.rhythm import Rhythm
from tests.kit.at_once import Watch
from tests.kit.delivery import Packet, Packets
from tests.kit.line import Line
from tests.kit.stores import new_client_id
from tests.kit.writing import LOST, VANISHED, FaultyLog

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MASTERS = MasterKeys({"1": bytes(range(32))})
OTHER_MASTERS = MasterKeys({"1": bytes(range(32, 64))})
TEXT_CHARS = 10
METADATA_BYTES = 12
COMMANDS = command_union(DECLARATIONS)
"""Made once: msgspec takes long over a union that it has not seen."""
LIMITS = Limits(max_text_chars=TEXT_CHARS, max_metadata_bytes=METADATA_BYTES)

Of = TypeVar("Of", bound=Event)


class FaultyConversations(MemoryConversations):
    """Conversations in memory whose next openings fail: an error is raised instead, or LOST, or VANISHED."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.faults: list[Exception | str] = []

    async def open(
        self, conversation: str, kind: ConversationKind, members: Sequence[str], notices: Sequence[Draft]
    ) -> list[Entry]:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault == VANISHED:
            raise OutcomeUnknown
        entries = await super().open(conversation, kind, members, notices)
        if fault == LOST:
            raise OutcomeUnknown
        return entries


@implementer(ITokenReader)
class TokenReader:
    """Recognises ``token-of-<user>-on-<device>``, which is its own ``jti`` and ends in the year 2096.

    That of nobody's device has none.
    """

    async def recognise(self, token: str) -> Claims:
        parts = token.removeprefix("token-of-").split("-on-")
        if len(parts) != 2:
            raise Unauthorized
        return Claims(
            user=parts[0], issuer="https://auth.example.com", expires_at=4e9, token_id=token if parts[1] else None
        )


class Chat:
    """One worker. ``database`` is shared by workers that are given the same; each change in it comes a second later.

    ``limits`` differ from LIMITS, ``groups`` from the defaults; ``relations`` are the real ones unless given;
    ``unreadable`` and ``failed`` are what would be logged. ``clock`` stands still until it is advanced. ``contacts``
    are asked with the policy ``ask``. ``beside`` is another worker with the same database and the same time; without
    ``bus`` the bus of each reaches no other. ``reach`` stands between this worker and the store of presence. Without
    ``search`` that is off. ``stores`` take the place of the database's. With ``line``, it is linked to all other
    workers on that line.
    """

    def __init__(
        self,
        database: MemoryDatabase | None = None,
        masters: MasterKeys = MASTERS,
        *,
        relations: IRelations | None = None,
        groups: Groups | None = None,
        policy: ContactPolicy = "anyone",
        beside: "Chat | None" = None,
        presence: PresenceSettings | None = None,
        bus: Any = None,
        reach: Callable[[Any], Any] = lambda store: store,
        search: Search | None = None,
        stores: Stores | None = None,
        line: Line | None = None,
        **limits: Any,
    ) -> None:
        self.now = NOON
        self.epoch = "an-epoch"
        self.clock = beside.clock if beside else Clock()
        seconds = count()
        self.database = (
            database or (beside and beside.database) or MemoryDatabase(lambda: NOON + timedelta(seconds=next(seconds)))
        )
        self.unreadable: list[tuple[Entry, str]] = []
        self.failed: list[tuple[str, BaseException]] = []
        self.log = FaultyLog(self.database.now, database=self.database)
        self.conversations = FaultyConversations(self.database)
        self.presence = beside.presence if beside else MemoryPresence(self.database, self.time)
        self.reach = reach(self.presence)
        self.stores = stores = stores or replace(
            memory_stores(self.database), log=self.log, conversations=self.conversations, presence=self.reach
        )
        self.authors = authors = Authors(stores.keys, Keyring(masters))
        self.directory = directory = Directory(stores.conversations)
        self.reader = reader = Reader(KINDS, authors, lambda entry, reason: self.unreadable.append((entry, reason)))
        self.hub: Hub = Hub(reader.event)
        self.bus: Any = bus or LocalBus()
        if line is not None:
            self.hub, self.bus = line.join(stores, directory, authors, reader, self._bus_failed)
        bus = self.bus
        self.exchange = exchange = Exchange(lambda error: self.failed.append(("a signal", error)))
        bus.subscribe(self.hub.receive, self.hub.notice, exchange.heed)
        self.contacts = MemoryContacts()
        self.relations = relations or Relations(
            stores.relations, exchange, self.clock.seconds, policy=policy, contacts=self.contacts
        )
        self.gauges: dict[str, Any] = {}
        self.rhythm = Rhythm(self.clock, lambda error: self.failed.append(("a beat", error)))
        self.router = Router(
            assemble(
                Parts(
                    stores=stores,
                    log=LogWriter(
                        stores.log,
                        bus,
                        directory,
                        max_waiting=100,
                        failed=self._log_failed,
                        index=Indexer(authors, search.max_tokens).index if search else None,
                    ),
                    bus=bus,
                    hub=self.hub,
                    exchange=exchange,
                    directory=directory,
                    authors=authors,
                    reader=reader,
                    relations=self.relations,
                    limits=msgspec.structs.replace(LIMITS, **limits),
                    tokens=Tokens(),
                    groups=groups or Groups(),
                    token_reader=TokenReader(),
                    now=lambda: self.now,
                    presence=presence or PresenceSettings(),
                    rhythm=self.rhythm,
                    gauge=lambda name, help, value: self.gauges.update({name: value}),
                    search=search or Search(),
                    epoch=lambda: self.epoch,
                )
            ),
            lambda command, error, caller: self.failed.append((command, error)),
        )
        self.rhythm.startService()

    def time(self) -> datetime:
        """The database's time of presence."""
        return NOON + timedelta(seconds=self.clock.seconds())

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass, in small steps."""
        self.clock.pump([0.25] * round(seconds * 4))

    def _bus_failed(self, error: BaseException) -> None:
        self.failed.append(("the bus", error))

    def _log_failed(self, error: BaseException) -> None:
        self.failed.append(("the log", error))

    def http(self, user: str, device: str = "phone") -> "Asker":
        """Somebody who asks over HTTP."""
        return Asker(self, user, device)

    def connect(self, user: str, device: str = "phone", *, synced: bool = True) -> "Connection":
        """Somebody with a connection, on which a ``sync`` from the acknowledged has been answered if ``synced``."""
        connection = Connection(self, user, device)
        if synced:
            connection.ask("sync")
            connection.got.clear()
        return connection

    def entries(self, conversation: str) -> list[Entry]:
        """A log as it is stored, to be looked at or altered."""
        return self.database.logs[conversation].entries


class Asker:
    """The caller behind commands, which are given as they stand on the wire and answered before anything else."""

    delivery: Delivery[Packet] | None = None

    def __init__(self, chat: Chat, user: str, device: str) -> None:
        self.chat = chat
        self.user = user
        self.device = device
        self.token_id: str | None = f"token-of-{user}-on-{device}"
        self.scopes: frozenset[str] = frozenset()
        self.lanes = Lanes()

    @property
    def queue(self) -> str:
        return event_queue(self.user)

    def start(self, name: str, /, **fields: Any) -> Watch:
        """Ask, and see how far it has come."""
        command = msgspec.convert({"id": 1, "type": name, **fields}, COMMANDS)
        return Watch(self.chat.router.dispatch(self, command))

    def ask(self, name: str, /, **fields: Any) -> Any:
        """The reply; raises the error that was answered."""
        return self.start(name, **fields).result

    def send(self, text: str, **fields: Any) -> Any:
        """Send a message, under a ``client_id`` of its own unless one is given."""
        fields.setdefault("client_id", new_client_id())
        return self.ask("message.send", text=text, **fields)

    def drained(self) -> Deferred[None]:
        return succeed(None)


class Connection(Asker):
    """An asker who is delivered events: ``got``, while it reads. There is room for so many that wait."""

    delivery: Delivery[Packet]

    def __init__(self, chat: Chat, user: str, device: str, *, room: int = 1_000_000) -> None:
        super().__init__(chat, user, device)
        self.got: list[Event] = []
        self.outbox: Outbox[Packet] = Outbox(self._take, lambda: None, event_bytes=room, total_bytes=2 * room)
        self.delivery = Delivery(self.outbox, Packets())
        chat.hub.attach(user, self.delivery)

    def _take(self, packet: Packet) -> None:
        self.got += packet.messages

    def drained(self) -> Deferred[None]:
        drained: Deferred[None] = Deferred()
        self.outbox.when_drained(lambda: drained.callback(None))
        return drained

    def hang_up(self) -> None:
        self.chat.hub.detach(self.user, self.delivery)
        self.delivery.end()
        self.outbox.discard()

    def of(self, kind: type[Of]) -> list[Of]:
        """What it got of one kind."""
        return [event for event in self.got if isinstance(event, kind)]

    @property
    def places(self) -> list[tuple[str, int]]:
        """Of which logs it got which changes."""
        return [(event.conversation, event.seq) for event in self.of(LogEvent)]


def altered(entry: Entry, at: int = -1) -> Entry:
    """The entry with one bit of its sealed content flipped."""
    sealed = bytearray(entry.sealed)
    sealed[at] ^= 1
    return msgspec.structs.replace(entry, sealed=bytes(sealed))
