"""The factory of all connection handlers. It sets every option of Autobahn's that is open by default, and watches over
all connections with one timer.
"""

# Autobahn's and Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

import random
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from chatd.edge.compression import accept
from chatd.edge.connection import ConnectionHandler
from chatd.edge.frames import FrameForm
from chatd.edge.gateway import Gateway
from chatd.edge.handshake import Handshake, shake_hands
from chatd.errors import CloseCode
from chatd.records.tokens import Claims
from chatd.router import command_union
from chatd.state.ids import event_queue
from chatd.wire.codec import JsonCodec, MsgpackCodec
from chatd.wire.events import Goaway, Hello, Limits

log = Logger()

SWEEP_SECONDS = 1.0
RETURNS_PER_SECOND = 1000
"""Clients that come back in a second, of those that are sent away: what a worker can greet (``python -m bench``)."""
SHORTEST_SPREAD_MS = 1000


class ConnectionFactory(WebSocketServerFactory):
    """Makes the connection handlers, all with the same options.

    ``jitter`` gives numbers from 0 to 1, which spread the return of clients that are sent away.
    """

    protocol: Any

    def __init__(self, gateway: Gateway, jitter: Callable[[], float] = random.random) -> None:
        commands = command_union(gateway.router.declarations)
        self.forms = {codec.subprotocol: FrameForm(codec) for codec in (JsonCodec(commands), MsgpackCodec(commands))}
        super().__init__(protocols=list(self.forms), server="", reactor=gateway.reactor)
        self.gateway = gateway
        self.handlers: dict[ConnectionHandler, None] = {}
        self.max_in_flight = gateway.settings.limits.max_in_flight
        # Commands under way, also those of connections that have gone meanwhile.
        self.in_flight = 0
        self._jitter = jitter
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = gateway.reactor
        self._set_options()
        self.protocol = self._with_options()

    def _with_options(self) -> type[ConnectionHandler]:
        """The connection handler with these options as its class's.

        Autobahn would copy them into each connection, and format them all for a line of a log that nobody writes.
        """
        options = {name: getattr(self, name) for name in ConnectionHandler.CONFIG_ATTRS}
        return type(ConnectionHandler.__name__, (ConnectionHandler,), {**options, "CONFIG_ATTRS": ()})

    def _set_options(self) -> None:
        limits, timeouts = self.gateway.settings.limits, self.gateway.settings.timeouts
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            utf8validateIncoming=True,
            maskServerFrames=False,
            requireMaskedClientFrames=True,
            applyMask=True,
            maxFramePayloadSize=limits.max_frame_bytes,
            maxMessagePayloadSize=limits.max_message_bytes,
            autoFragmentSize=0,
            # A violation is answered with its close code before the connection goes.
            failByDrop=False,
            echoCloseCodeReason=False,
            openHandshakeTimeout=timeouts.handshake,
            closeHandshakeTimeout=timeouts.close,
            tcpNoDelay=True,
            perMessageCompressionAccept=partial(accept, limits),
            autoPingInterval=timeouts.ping_interval,
            autoPingTimeout=timeouts.ping_timeout,
            autoPingSize=12,
            # Whoever sends anything is there: a peer held back for its own flood is not mistaken for a dead one.
            autoPingRestartOnAnyTraffic=True,
            serveFlashSocketPolicy=False,
            # Origins are checked in the handshake, by one rule for WebSocket and HTTP.
            allowedOrigins=["*"],
            allowNullOrigin=False,
            # Sockets are counted when they are accepted, whichever protocol they go on to speak.
            maxConnections=0,
            trustXForwardedFor=0,
        )

    async def shake_hands(
        self, headers: Mapping[str, str], offered: Sequence[str], secure: bool, client: str
    ) -> Handshake:
        """See :class:`~chatd.edge.upgrade.SuccessorFactory`."""
        return await shake_hands(self.gateway, headers, offered, list(self.forms), secure, client)

    def hello(self, handler: ConnectionHandler, claims: Claims) -> Hello:
        """The first event of ``handler``'s connection."""
        settings = self.gateway.settings
        return Hello(
            session=handler.id,
            user=handler.user,
            device=handler.device,
            queue=event_queue(handler.user),
            epoch=self.gateway.epoch(),
            limits=Limits(
                message_bytes=settings.limits.max_message_bytes,
                text_chars=settings.limits.max_text_chars,
                metadata_bytes=settings.limits.max_metadata_bytes,
                in_flight=settings.limits.max_in_flight,
            ),
            ping_interval_ms=round(settings.timeouts.ping_interval * 1000),
            token_expires_in_ms=max(0, round((claims.expires_at - self.gateway.now()) * 1000)),
            features=list(self.gateway.features),
        )

    def authenticated(self, handler: ConnectionHandler) -> None:
        """``handler``'s socket has shown a token that holds."""
        handler.socket.authenticated()

    def startFactory(self) -> None:
        """The port is open."""
        self._sweeping.start(SWEEP_SECONDS, now=False).addErrback(
            lambda failure: log.failure("the sweep over connections failed", failure)
        )

    def stopFactory(self) -> None:
        """The port is closed."""
        if self._sweeping.running:
            self._sweeping.stop()

    def _sweep(self) -> None:
        now, wall = self.gateway.reactor.seconds(), self.gateway.now()
        for handler in list(self.handlers):
            handler.sweep(now, wall)

    def end_revoked(self, users: Set[str]) -> None:
        """Tokens of these people have been revoked: close the connections that live on them."""
        for handler in [handler for handler in self.handlers if handler.user in users]:
            handler.end_if_revoked()

    def living(self) -> Iterator[Claims]:
        """What the tokens say that connections live on."""
        for handler in self.handlers:
            if handler.session.claims is not None:
                yield handler.session.claims

    def end_shown(self, digests: Set[bytes], code: CloseCode, reason: str) -> None:
        """Close the connections that live on the tokens of these digests."""
        for handler in list(self.handlers):
            claims = handler.session.claims
            if claims is not None and claims.shown is not None and claims.shown.digest in digests:
                handler.session.close(code, reason)

    def go_away(self) -> None:
        """Tell every client that this server ends, and when to come back; close what has nothing under way."""
        # No faster than whoever serves them next lets them in.
        returns = min(RETURNS_PER_SECOND, self.gateway.throttle.connects.rate.per_second)
        spread_ms = max(SHORTEST_SPREAD_MS, len(self.handlers) * 1000 / returns)
        for handler in list(self.handlers):
            handler.go_away(Goaway(retry_after_ms=round(spread_ms * self._jitter())))
        self.part_from_the_answered()

    def part_from_the_answered(self) -> None:
        """Close the connections whose last command has been answered. To be called again and again while leaving."""
        for handler in list(self.handlers):
            if not handler.in_flight:
                handler.part()

    def part_from_all(self) -> None:
        """Close every connection, whatever it has under way."""
        for handler in list(self.handlers):
            handler.part()
