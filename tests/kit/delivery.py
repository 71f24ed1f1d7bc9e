"""Logs, a bus that can be trusted with little, and peers that check every frame they are sent.

A peer knows the promise and nothing of how it is kept: of each conversation it gets what follows its cursor, without
a gap and without a repeat; after a ``conversation.stale`` it gets nothing of it until it syncs again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from chatd.handlers.catalogue import KINDS
from chatd.handlers.kinds import Reader, draft
from chatd.handlers.messages import MESSAGE, MessageContent
from chatd.records.logs import Cursor, Entry, Position, Publication
from chatd.records.rosters import plain_roster
from chatd.router import Lanes
from chatd.security.keyring import Keyring, MasterKeys
from chatd.state.authors import Authors
from chatd.state.delivery import Delivery
from chatd.state.hub import Hub
from chatd.state.outbox import Outbox
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.keys import MemoryKeys
from chatd.wire.events import ConversationStale, Event, LogEvent
from tests.kit.at_once import at_once

USER = "alice"
SENDER = "bob"
CONVERSATIONS = ("old", "short", "new")
PACKET_BYTES = 10
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Packet:
    """What a connection carries at once: events or a reply, each of one size."""

    def __init__(self, *messages: Any) -> None:
        self.messages = messages
        self.size = PACKET_BYTES * len(messages)


class Packets:
    """The form of these tests: events as they are."""

    def __init__(self) -> None:
        self.made = 0

    def encode(self, *events: Event) -> Packet:
        self.made += 1
        return Packet(*events)


class Began(msgspec.Struct, frozen=True):
    """From here on a sync is under way: what follows continues from these cursors."""

    starts: dict[str, int]
    everything: bool


class Ended(msgspec.Struct, frozen=True):
    """A sync was answered."""

    succeeded: bool
    everything: bool


@dataclass
class World:
    """One worker: logs, what has been committed but not yet published, and the hub."""

    published: dict[str, int] = field(default_factory=dict)
    """Logs by conversation at the start, all of which was published before this worker came up."""

    def __post_init__(self) -> None:
        self.keys = MemoryKeys(MemoryDatabase(lambda: NOON))
        keyring = Keyring(MasterKeys({"1": bytes(range(32))}))
        authors = Authors(self.keys, keyring)
        self.key = at_once(authors.writing(SENDER))
        self.reader = Reader(KINDS, authors, _never_unreadable)
        self.hub = Hub(self.reader.event)
        self.logs: dict[str, list[Publication]] = {}
        self.pending: dict[str, deque[Publication]] = {}
        self.doubtful: set[str] = set()
        self.seen: set[str] = set()
        self.heard = dict(self.published)
        for conversation, length in self.published.items():
            for _ in range(length):
                self.commit(conversation)
            self.pending[conversation].clear()

    def hub_of(self, device: str) -> Hub:
        """Where this device is connected."""
        return self.hub

    # -- the log --

    def commit(self, conversation: str) -> Publication:
        """One more change of the log, on its way to the hub."""
        log = self.logs.setdefault(conversation, [])
        change = draft(
            MESSAGE,
            MessageContent(text=f"{len(log) + 1}"),
            author=SENDER,
            client_id=f"{conversation}-{len(log)}",
            key=self.key,
            roster=plain_roster(conversation, "direct", (USER,)),
        )
        entry = Entry(
            conversation=conversation,
            seq=len(log) + 1,
            time=NOON,
            author=SENDER,
            client_id=change.client_id,
            kind=change.kind,
            sealed=change.sealed,
        )
        publication = Publication(
            entry=entry,
            audience=change.audience,
            content=change.content,
            doubtful=conversation in self.doubtful,
        )
        self.doubtful.discard(conversation)
        log.append(publication)
        self.pending.setdefault(conversation, deque()).append(publication)
        return publication

    def commit_unheard(self, conversation: str) -> None:
        """The reply to a commit is lost: nobody publishes it, and the next one says so."""
        self.commit(conversation)
        self.pending[conversation].pop()
        self.doubtful.add(conversation)

    def length(self, conversation: str) -> int:
        return len(self.logs.get(conversation, ()))

    def entries(self, cursors: Sequence[Cursor], limit: int) -> list[Entry]:
        """See ILogStore."""
        found = [
            publication.entry
            for cursor in cursors
            for publication in self.logs.get(cursor.conversation, [])[cursor.seq :]
        ]
        return found[:limit]

    def positions(self, acknowledged: dict[str, int], settled: frozenset[str]) -> list[Position]:
        """See IConversationStore; logs in ``settled`` have not changed of late, if all that they hold was published."""
        return [
            Position(
                conversation=conversation,
                last_seq=len(log),
                acknowledged=acknowledged.get(conversation),
                recent=conversation not in settled or self.heard.get(conversation, 0) < len(log),
            )
            for conversation, log in self.logs.items()
        ]

    # -- the bus --

    def publish(self, publications: Sequence[Publication]) -> None:
        """What reaches the hub, be it in its turn or not."""
        for publication in publications:
            entry = publication.entry
            self.seen.add(entry.conversation)
            self.heard[entry.conversation] = max(entry.seq, self.heard.get(entry.conversation, 0))
        self.hub.receive(publications)

    def publish_all(self) -> None:
        for pending in self.pending.values():
            publications = list(pending)
            pending.clear()
            self.publish(publications)


def _never_unreadable(entry: Entry, reason: str) -> None:
    raise AssertionError(f"{entry.seq}: {reason}")


class Peer:
    """A client with its connection. It is the caller behind its commands.

    ``window`` is how many packets the transport takes before it asks to pause.
    """

    user = USER

    def __init__(
        self, world: World, device: str, *, window: int = 3, event_packets: int = 4, packets: int = 40
    ) -> None:
        self.world = world
        self.device = device
        self.has: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.got: list[Any] = []
        self._window = window
        self._bounds = {"event_bytes": event_packets * PACKET_BYTES, "total_bytes": packets * PACKET_BYTES}
        self.connections = 0
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.lanes = Lanes()
        self.expected: dict[str, int | None] = {}
        self.starts: dict[str, int] | None = None
        self.whole = False
        self.overflowed = False
        self.transport: deque[Packet] = deque()
        self.outbox: Outbox[Packet] = Outbox(self._write, self._overflow, **self._bounds)
        self.delivery: Delivery[Packet] = Delivery(self.outbox, Packets())
        self.world.hub_of(self.device).attach(self.user, self.delivery)

    def disconnect(self) -> None:
        """The connection goes, with all that was under way on it."""
        self.world.hub_of(self.device).detach(self.user, self.delivery)
        self.delivery.end()
        self.outbox.discard()
        self.transport.clear()
        self.whole = False

    def _write(self, packet: Packet) -> None:
        self.transport.append(packet)
        if len(self.transport) >= self._window:
            self.outbox.pause()

    def _overflow(self) -> None:
        assert not self.overflowed, "an outbox overflows once"
        self.overflowed = True
        self.delivery.end()

    def read(self, count: int = 1_000_000) -> None:
        """Take so many packets off the connection."""
        while self.transport and count:
            count -= 1
            for message in self.transport.popleft().messages:
                self._take(message)
            if not self.transport and self.outbox.paused:
                self.outbox.resume()

    def acknowledge(self) -> None:
        """Let the server keep how far this device has come."""
        self.acknowledged = dict(self.has)

    def say(self, message: Any) -> None:
        """Put a reply on the connection, behind all that is on it."""
        self.outbox.reply(Packet(message))

    def began(self, cursors: dict[str, int], everything: bool) -> None:
        """The server begins a sync, and with it a new account of what it sends."""
        starts = {name: cursors.get(name, self.acknowledged.get(name, 0)) for name in CONVERSATIONS}
        self.say(Began(starts if everything else {name: starts[name] for name in cursors}, everything))

    # -- the promise --

    def _take(self, message: Any) -> None:
        self.got.append(message)
        if isinstance(message, LogEvent):
            expected = self.expected.get(message.conversation)
            assert expected is not None, f"{message.conversation} was to be silent, and {message.seq} came"
            assert message.seq == expected, f"{expected} of {message.conversation} was due, and {message.seq} came"
            assert message.seq <= self.has.get(message.conversation, 0) + 1
            self.expected[message.conversation] = expected + 1
            self.has[message.conversation] = max(message.seq, self.has.get(message.conversation, 0))
        elif isinstance(message, ConversationStale):
            assert self.expected.get(message.conversation) is not None, "stale is told once"
            self.expected[message.conversation] = None
        elif isinstance(message, Began):
            self.expected |= {name: start + 1 for name, start in message.starts.items()}
            self.whole &= not message.everything
        elif isinstance(message, Ended) and message.everything:
            self.whole = message.succeeded

    def missing(self) -> dict[str, tuple[int, int]]:
        """Where this peer believes to be up to date and is not: how far it is, how far it should be."""
        if not self.whole or self.overflowed:
            return {}
        return {
            name: (expected - 1, self.world.length(name))
            for name, expected in self.expected.items()
            if expected is not None
            and expected - 1 != self.world.length(name)
            and self.world.heard.get(name, 0) == self.world.length(name)
        }
