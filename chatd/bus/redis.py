"""Redis carries the bus between machines: publish and subscribe, by topics of interest.

Conversations and people are spread over :data:`SHARDS` channels. A worker subscribes to the channels of those who are
connected to it and of the conversations that they follow, once each, and keeps to them. What was published before a
subscription held is found by a look at the log.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from zlib import crc32

import txredisapi
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from chatd.bus.carrier import Carrier
from chatd.bus.pushes import Pushes
from chatd.bus.remote import EVERYBODY, RemoteBus
from chatd.redis.address import ANSWER_SECONDS, RedisAddress
from chatd.redis.session import Session
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.store.failures import SessionError

log = Logger()

SHARDS: Final = 256

MAX_BYTES: Final = 65_536

MAX_UNREAD: Final = 4 * MAX_BYTES
"""How much may come of one message before whoever sent it is cut off: no worker says so much."""


def channels(prefix: str) -> Callable[[str], str]:
    """The channel of a topic, of those that begin with ``prefix``."""

    def channel_of(topic: str) -> str:
        return f"{prefix}:all" if topic == EVERYBODY else f"{prefix}:{crc32(topic.encode()) % SHARDS}"

    return channel_of


class _Listener(Session):
    """A connection that hears. ``heard`` is told the payload of what was published, ``subscribed`` each channel."""

    def __init__(self, heard: Callable[[bytes], None], subscribed: Callable[[str], None]) -> None:
        super().__init__(MAX_UNREAD)
        self._heard = heard
        self._subscribed = subscribed
        self._pushes: Pushes | None = None

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        if self._pushes is None:
            super().dataReceived(data, unpause)
            return
        try:
            pushes = self._pushes.take(data)
        except ValueError as error:
            log.warn("Redis says what nobody asked for: {what}", what=str(error)[:200])
            self.transport.abortConnection()
            return
        for kind, channel, payload in pushes:
            if kind == b"message":
                self._heard(payload)
            elif kind == b"subscribe":
                self._subscribed(channel.decode())

    def subscribe(self, names: Sequence[str]) -> None:
        """Each will be told to ``subscribed``. From the first time on nothing else is said here, or answered."""
        if self._pushes is None:
            self._pushes = Pushes(MAX_UNREAD)
        self.transport.write(self._build_command("SUBSCRIBE", *names))


class RedisBus(Carrier):
    """See the module. Two connections: one to speak, one to listen. ``prefix`` begins the names of all channels."""

    name_of_bus = "Redis"
    deaf = (
        "what is published to Redis does not come back. Whoever it lets in there must be allowed to PUBLISH and "
        "SUBSCRIBE to the channels of redis.prefix. Until then people on different workers hear from each other late."
    )

    def __init__(
        self,
        reactor: Any,
        way: IStreamClientEndpoint,
        address: RedisAddress,
        bus: RemoteBus,
        authors: Authors,
        *,
        prefix: str,
    ) -> None:
        super().__init__(reactor, bus, authors)
        self._way = way
        self._address = address
        self._channel_of = channels(prefix)
        self._channels: dict[str, None] = {self._channel_of(EVERYBODY): None}
        self._awaited: set[str] = set()
        self._first: Deferred[None] | None = None
        self._sessions: list[Session] = []
        self._listener: _Listener | None = None

    def listen(self, topic: str) -> None:
        """What is said about ``topic`` concerns somebody here from now on."""
        channel = self._channel_of(topic)
        if channel not in self._channels:
            self._channels[channel] = None
            if self._listener is not None:
                self._subscribe(self._listener, [channel])

    def _subscribe(self, listener: _Listener, names: Sequence[str]) -> None:
        self._awaited.update(names)
        listener.subscribe(names)

    def _subscribed(self, channel: str) -> None:
        self._awaited.discard(channel)
        if self._awaited:
            return
        if self._first is not None:
            first, self._first = self._first, None
            first.callback(None)
        else:
            self._bus.look_back()

    async def _live(self, key: AuthorKey) -> None:
        try:
            speaker = await self._connect(Session(MAX_UNREAD))
            listener = await self._connect(_Listener(self._bus.hear, self._subscribed))
            first: Deferred[None] = Deferred()
            self._first = first
            self._awaited.clear()
            self._listener = listener
            self._subscribe(listener, list(self._channels))
            first.addTimeout(ANSWER_SECONDS, self._reactor)
            await _either(first, listener.ended)
            if self._first is not None:
                raise SessionError("Redis went away")
            self._bus.link(key, partial(self._carry, speaker))
            self._linked()
            await _either(speaker.ended, listener.ended)
        except (txredisapi.RedisError, ConnectError, TimeoutError) as error:
            raise SessionError(str(error)) from error
        finally:
            self._first = self._listener = None
            self._end(SessionError("the bus gave up these connections"))
            self._sessions.clear()

    async def _connect(self, session: Any) -> Any:
        await self._way.connect(Factory.forProtocol(lambda: session))
        self._sessions.append(session)
        await session.introduce(self._address)
        return session

    def _end(self, cause: Exception) -> None:
        for session in self._sessions:
            session.end()

    async def _carry(self, speaker: Any, packets: Sequence[tuple[str, bytes]]) -> None:
        try:
            await gatherResults([speaker.publish(channel, packet) for channel, packet in packets], consumeErrors=True)
        except (FirstError, txredisapi.RedisError) as error:
            # Whatever it is, another connection is tried.
            speaker.end()
            raise SessionError(str(error.subFailure.value if isinstance(error, FirstError) else error)) from error


async def _either(*ended: Deferred[None]) -> None:
    """Return once one of them has, however it did; whoever stops waiting cancels none of them."""
    one: Deferred[None] = Deferred()

    def note(result: Any) -> None:
        if not one.called:
            one.callback(None)

    for deferred in ended:
        deferred.addBoth(note)
    await one
