"""Connections that a trusted proxy announces by a PROXY header, below TLS and HTTP.

A connection of anybody else's goes by unseen: a PROXY header on it is no HTTP and no TLS, and is refused as such.
"""

# Twisted's policies are not annotated.
# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from chatd.edge.clients import Clients, Unnamed
from chatd.settings.model import Settings
from chatd.wire.proxy_header import HeaderError, Source, read_header

log = Logger()


@implementer(IHalfCloseableProtocol)
class AnnouncedConnection(ProtocolWrapper):
    """Reads the header, and is from then on the transport of what speaks behind it, which hears of no other peer.

    Not Twisted's ``haproxy`` wrapper: ``docs/design/proxies.rst`` says what that one lacks.
    """

    factory: "AnnouncedFactory"
    transport: Any
    wrappedProtocol: Any
    _peer: IAddress | None = None
    _received = b""
    _deadline: IDelayedCall | None = None

    def makeConnection(self, transport: Any) -> None:
        """The proxy has connected. What speaks behind the header is made when that has come."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.clients.awaited.add(self)
        self._deadline = self.factory.reactor.callLater(self.factory.within, self._refuse, "it does not come")

    def dataReceived(self, data: bytes) -> None:
        if self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        self._received += data
        try:
            header = read_header(self._received)
        except HeaderError as error:
            self._refuse(str(error))
            return
        if header is not None:
            early = self._received[header.length :]
            self._begin(Unnamed() if header.source is None else _address(header.source), early)

    def _begin(self, peer: IAddress, early: bytes) -> None:
        self._settled()
        self._peer, self._received = peer, b""
        self.wrappedProtocol = self.factory.wrappedFactory.buildProtocol(peer)
        self.wrappedProtocol.makeConnection(self)
        if early:
            self.wrappedProtocol.dataReceived(early)

    def _refuse(self, reason: str) -> None:
        """Without a word: whoever is there does not speak the language of the answer yet."""
        self._settled()
        self._received = b""
        log.warn(
            "a connection of the trusted proxy {proxy} has no PROXY header: {reason}",
            proxy=self.factory.clients.peer(self.transport.getPeer()).host or "on the UNIX socket",
            reason=reason,
        )
        self.transport.abortConnection()

    def _settled(self) -> None:
        self.factory.clients.awaited.discard(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._settled()
        protocol, self.wrappedProtocol = self.wrappedProtocol, None
        if protocol is not None:
            protocol.connectionLost(reason)

    def readConnectionLost(self) -> None:
        """The peer has closed its side: what it wraps says what becomes of that, as it would without this."""
        wrapped: Any = IHalfCloseableProtocol(self.wrappedProtocol, None)
        if wrapped is not None:
            wrapped.readConnectionLost()
        else:
            # What Twisted does where nobody asks to be told of one side alone: both have ended.
            self.transport.connectionLost(connectionDone)

    def writeConnectionLost(self) -> None:
        """We have closed ours."""

    def getPeer(self) -> Any:
        """The client, once it is known."""
        return self.transport.getPeer() if self._peer is None else self._peer


class AnnouncedFactory(WrappingFactory[AnnouncedConnection]):
    """Makes what ``wrapped`` makes; for a trusted proxy, once its header has come, ``within`` seconds."""

    noisy = False

    def __init__(self, wrapped: IProtocolFactory, clients: Clients, reactor: Any, within: float) -> None:
        super().__init__(wrapped)
        self.clients = clients
        self.reactor = reactor
        self.within = within

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self.clients.peer(addr).proxy:
            return AnnouncedConnection(self, None)  # type: ignore[arg-type] # what it wraps comes later
        return self.wrappedFactory.buildProtocol(addr)


def _address(source: Source) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in source.host else IPv4Address)("TCP", source.host, source.port)


def announcement(
    settings: Settings, clients: Clients, reactor: Any
) -> Callable[[IProtocolFactory], IProtocolFactory] | None:
    """What goes in front of what a port serves, if anything does."""
    if not settings.proxies.proxy_protocol:
        return None
    return lambda factory: AnnouncedFactory(factory, clients, reactor, settings.timeouts.handshake)
