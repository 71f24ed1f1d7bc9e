"""Redis carries the bus between machines: publish and subscribe, by topics of interest.

Conversations and people are spread over :data:`SHARDS` channels. A worker subscribes to the channels of those who are
connected to it and of the conversations that they follow, once each, and keeps to them. What was published before a
subscription held is found by a look at the log.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from zlib import crc32

import txredisapi
from OpenSSL import crypto
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger

from chatd.bus.carrier import Carrier
from chatd.bus.pushes import Pushes
from chatd.bus.remote import EVERYBODY, RemoteBus
from chatd.records.base import Record
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.store.failures import SessionError

log = Logger()

SHARDS: Final = 256

MAX_BYTES: Final = 65_536

ANSWER_SECONDS: Final = 5.0
"""By when Redis has connected or answered, or is taken for dead."""

MAX_UNREAD: Final = 4 * MAX_BYTES
"""How much may come of one message before whoever sent it is cut off: no worker says so much."""


class RedisAddress(Record, frozen=True, kw_only=True, gc=False):
    """Where Redis is: a ``path`` or a ``host``, and as whom one comes."""

    path: str = ""
    host: str = ""
    port: int = 6379
    tls: bool = False
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """What a URL says; raises ValueError, which does not quote it: it may hold a password."""
        parts = urlsplit(url)
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if parts.scheme == "unix" and parts.path:
            return cls(path=unquote(parts.path), username=username, password=password)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("it is no URL such as redis://host:6379, rediss://host:6379 or unix:///path")
        try:
            port = parts.port or 6379
        except ValueError:
            raise ValueError("its port is no number up to 65535") from None
        return cls(host=parts.hostname, port=port, tls=parts.scheme == "rediss", username=username, password=password)


def endpoint(reactor: Any, address: RedisAddress, ca_file: str) -> IStreamClientEndpoint:
    """The way there. With TLS the certificate is verified, and for the host's name, against ``ca_file`` if given."""
    if address.path:
        return UNIXClientEndpoint(reactor, address.path, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=ANSWER_SECONDS)
    if not address.tls:
        return plain
    return wrapClientTLS(optionsForClientTLS(address.host, trustRoot=_trusted(ca_file)), plain)


def _trusted(ca_file: str) -> Any:
    """None for whom the system trusts. Raises ValueError or OSError where the file holds no certificates."""
    if not ca_file:
        return None
    pem = Path(ca_file).read_text("ascii", "replace")
    end = "-----END CERTIFICATE-----"
    found = [part + end for part in pem.split(end) if "-----BEGIN CERTIFICATE-----" in part]
    if not found:
        raise ValueError(f"{ca_file} holds no certificates in PEM")
    try:
        certificates = [Certificate.loadPEM(part.encode()) for part in found]
        return trustRootFromCertificates(certificates)  # type: ignore[no-untyped-call]
    except crypto.Error as error:
        raise ValueError(f"{ca_file} holds what is no certificate") from error


def channels(prefix: str) -> Callable[[str], str]:
    """The channel of a topic, of those that begin with ``prefix``."""

    def channel_of(topic: str) -> str:
        return f"{prefix}:all" if topic == EVERYBODY else f"{prefix}:{crc32(topic.encode()) % SHARDS}"

    return channel_of


class _Session(txredisapi.RedisProtocol):  # type: ignore[misc]  # txredisapi is not annotated
    """A connection to Redis whose end is told to ``ended``, and of whose replies none is without bounds."""

    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False, replyTimeout=ANSWER_SECONDS)
        self.ended: Deferred[None] = Deferred()
        self._unread = 0

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        if not unpause:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self.transport.abortConnection()
                return
        super().dataReceived(data, unpause)

    def replyReceived(self, reply: Any) -> None:
        self._unread = 0
        super().replyReceived(reply)

    def connectionLost(self, why: Any) -> None:
        super().connectionLost(why)
        self.ended.callback(None)

    def end(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()


class _Listener(_Session):
    """A connection that hears. ``heard`` is told the payload of what was published, ``subscribed`` each channel."""

    def __init__(self, heard: Callable[[bytes], None], subscribed: Callable[[str], None]) -> None:
        super().__init__()
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
        self._sessions: list[_Session] = []
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
            speaker = await self._connect(_Session())
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
        if self._address.password is not None:
            await session.auth(self._address.password, self._address.username)
        return session

    def _end(self, cause: Exception) -> None:
        for session in self._sessions:
            session.end()

    async def _carry(self, speaker: Any, packets: Sequence[tuple[str, bytes]]) -> None:
        try:
            await gatherResults([speaker.publish(channel, packet) for channel, packet in packets], consumeErrors=True)
        except Exception:
            # Whatever it is, another connection is tried.
            speaker.end()
            raise


async def _either(*ended: Deferred[None]) -> None:
    """Return once one of them has, however it did; whoever stops waiting cancels none of them."""
    one: Deferred[None] = Deferred()

    def note(result: Any) -> None:
        if not one.called:
            one.callback(None)

    for deferred in ended:
        deferred.addBoth(note)
    await one
