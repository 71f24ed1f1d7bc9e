"""Listening on sockets that other processes hold as well.

A port that is adopted closes its own descriptor and no more: the socket goes on listening for whoever else has it.
"""

# Twisted's ports are only partly annotated.
# mypy: allow-untyped-calls

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class SharedUnixPort(unix.Port):
    """A UNIX socket of somebody else's.

    The reactor's own adoptStreamPort sets its mode, listens anew, and at the end shuts it down for all who have it and
    removes its name.
    """

    _shouldShutdown = False
    _preexistingSocket: socket.socket
    factory: Any

    def startListening(self) -> None:
        """Begin to accept."""
        tcp._reservedFD.reserve()
        self.factory.doStart()
        self.socket = self._preexistingSocket
        self.fileno = self.socket.fileno  # type: ignore[method-assign] # as Twisted does
        self.connected = True
        self.numberAccepts = 1
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """It is closed."""
        tcp.Port.connectionLost(self, reason)


@implementer(IStreamServerEndpoint)
class InheritedSocket:
    """An endpoint on a ``listening`` socket, which is its own from now on; with ``tls`` where that is given.

    UNIX sockets are for a proxy on the same machine, and never have TLS. ``announced`` puts something in front of what
    is served, TLS included.
    """

    def __init__(
        self,
        reactor: Any,
        listening: socket.socket,
        tls: IOpenSSLServerConnectionCreator | None,
        announced: Callable[[IProtocolFactory], IProtocolFactory] | None = None,
    ) -> None:
        self._reactor = reactor
        self._listening = listening
        self._tls = tls
        self._announced = announced

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See IStreamServerEndpoint. To be called once."""
        family = self._listening.family
        # The port takes a duplicate: when that is closed, nothing of it must be left here.
        with self._listening:
            factory = protocolFactory
            if self._tls is not None and family != socket.AF_UNIX:
                factory = TLSMemoryBIOFactory(self._tls, False, protocolFactory)
            if self._announced is not None:
                factory = self._announced(factory)
            if family == socket.AF_UNIX:
                port = SharedUnixPort._fromListeningDescriptor(self._reactor, self._listening.fileno(), factory)
                port.startListening()
                return succeed(port)
            return succeed(self._reactor.adoptStreamPort(self._listening.fileno(), family, factory))
