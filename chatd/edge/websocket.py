"""The connection handler: one Autobahn protocol instance for each WebSocket.

It moves bytes between Autobahn, the sans-IO session, the router and the outbox, and keeps no rules of its own. The
factory sets every option of Autobahn's that is open by default, and watches over all connections with one timer.
"""

# Autobahn's and Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

import random
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import Any
from uuid import uuid4

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.edge.compression import accept
from chatd.edge.frames import Frame, FrameForm
from chatd.edge.gateway import Gateway
from chatd.edge.guarded import GuardedProtocol
from chatd.edge.handshake import Handshake, shake_hands
from chatd.edge.sockets import Socket
from chatd.errors import ChatdError, CloseCode, Internal, PeerError, ServerError
from chatd.records.tokens import Claims
from chatd.router import Lanes, command_union
from chatd.security.scopes import NONE
from chatd.state.delivery import Delivery, Phase
from chatd.state.ids import event_queue
from chatd.state.outbox import Outbox
from chatd.wire.codec import JsonCodec, MsgpackCodec
from chatd.wire.commands import Command, Done, Reply
from chatd.wire.events import Goaway, Hello, Limits, Outgoing, TokenExpiring
from chatd.wire.session import DEFAULT_DEVICE, Auth, Session, State

log = Logger()

SWEEP_SECONDS = 1.0
RETURNS_PER_SECOND = 1000
"""Clients that come back in a second, of those that are sent away: what a worker can greet (``python -m bench``)."""
SHORTEST_SPREAD_MS = 1000


class ConnectionHandler(GuardedProtocol):
    """One client's connection. It is the caller behind its commands and the actions of its session."""

    factory: "ConnectionFactory"
    socket: Socket
    handshake: Handshake
    session: Session
    user = ""
    device = ""
    shown_at = 0.0
    forewarned = False

    # -- the life of the connection, as Autobahn tells it --

    def onConnect(self, request: Any) -> str:
        """Autobahn has read the request too: its answer names the subprotocol that was settled."""
        return self.handshake.subprotocol

    def onOpen(self) -> None:
        """The WebSocket is open."""
        limits = self.factory.gateway.settings.limits
        self.id = uuid4().hex
        self.lanes = Lanes()
        self._form = self.factory.forms[self.handshake.subprotocol]
        self._outbox: Outbox[Frame] = Outbox(
            self._write_frame,
            self._too_slow,
            event_bytes=limits.event_buffer_bytes,
            total_bytes=limits.output_buffer_bytes,
        )
        self.delivery: Delivery[Frame] = Delivery(self._outbox, self._form)
        self.session = Session(self._form.codec, self)
        self.in_flight = 0
        self._held_back = False
        self._leaving = False
        self._opened_at = self.factory.gateway.reactor.seconds()
        super().onOpen()
        self.factory.handlers[self] = None
        if self.handshake.claims is not None:
            self.session.admitted(self.handshake.claims, self.handshake.device)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """One whole message has arrived."""
        self.session.received(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has gone."""
        if self.factory.handlers.pop(self, self) is self:
            return
        self.session.closed()
        if self.user:
            self.factory.gateway.hub.detach(self.user, self.delivery)
        self.delivery.end()
        self._outbox.discard()
        log.debug("{id} closed: {code} {reason}", id=self.id, code=code, reason=reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket has gone, open as a WebSocket or not yet."""
        super().connectionLost(reason)
        self.socket.left()

    # -- what the session asks for --

    def verify(self, auth: Auth) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        Deferred.fromCoroutine(self._verify(auth)).addErrback(self._unforeseen)

    async def _verify(self, auth: Auth) -> None:
        try:
            device = auth.device or self.device or DEFAULT_DEVICE
            claims = await self.factory.gateway.verifier.verify(auth.token, device)
        except PeerError as error:
            self.session.refused(error)
        except ServerError as error:
            self.session.failed(error)
        except Exception:
            log.failure("the token verifier failed")
            self.session.failed(Internal())
        else:
            if self.session.verified(claims):
                self._reply(auth.id, Done())

    def opened(self, claims: Claims, device: str) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        if not self.user:
            self.user, self.device = claims.user, device
            self.factory.gateway.hub.attach(self.user, self.delivery)
            self.factory.authenticated(self)
            log.debug("{id} is {user} on {device}", id=self.id, user=self.user, device=device)
        self.factory.gateway.arrived(claims, device)
        self.shown_at, self.forewarned = self.factory.gateway.now(), False
        self._outbox.reply(self._form.encode(self.factory.hello(self, claims)))
        # It may have been revoked since it was verified.
        self.end_if_revoked()

    @property
    def token_id(self) -> str | None:
        """See :class:`~chatd.handlers.caller.Caller`."""
        claims = self.session.claims
        return None if claims is None else claims.token_id

    @property
    def scopes(self) -> frozenset[str]:
        """See :class:`~chatd.handlers.caller.Caller`."""
        claims = self.session.claims
        return NONE if claims is None else claims.scopes

    def run(self, command: Command) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        self.in_flight += 1
        self.factory.in_flight += 1
        if self.in_flight >= self.factory.max_in_flight and not self._held_back:
            self._held_back = True
            self.transport.pauseProducing()
        done = self.factory.gateway.router.dispatch(self, command)
        done.addCallbacks(self._succeeded, self._failed, callbackArgs=(command.id,), errbackArgs=(command.id,))
        done.addErrback(self._unforeseen)

    def _succeeded(self, reply: Reply, id: int) -> None:
        self._finished()
        self._reply(id, reply)

    def _failed(self, failure: Failure, id: int) -> None:
        self._finished()
        self.refuse(id, failure.value if isinstance(failure.value, ChatdError) else Internal())

    def _unforeseen(self, failure: Failure) -> None:
        """A reply could not be written: the client must not wait for it."""
        log.failure("{id} could not be replied to", failure, id=self.id)
        self.session.close(CloseCode.INTERNAL_ERROR, "come back and resume")

    def _finished(self) -> None:
        self.in_flight -= 1
        self.factory.in_flight -= 1
        if self._held_back and not self._leaving and self.in_flight <= self.factory.max_in_flight // 2:
            self._held_back = False
            self.transport.resumeProducing()

    def _reply(self, id: int, reply: Reply) -> None:
        self._outbox.reply(self._form.frame(self._form.codec.encode_reply(id, reply)))

    def refuse(self, id: int | None, error: ChatdError) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        self._outbox.reply(self._form.frame(self._form.codec.encode_error(id, error)))

    def close(self, code: CloseCode, reason: str) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        log.debug("{id} closing: {code} {reason}", id=self.id, code=int(code), reason=reason)
        # Nothing is written behind a close frame: the log need not be read on for it.
        self.delivery.end()
        # Autobahn's sendClose takes none of RFC 6455's own codes but 1000.
        self.sendCloseFrame(int(code), reason.encode())

    # -- when this server ends --

    def go_away(self, notice: Goaway) -> None:
        """Say so, and read nothing more: what is not under way yet is for the next server."""
        if self.user:
            self._outbox.reply(self._form.encode(notice))
        if self.session.state is not State.CLOSED:
            self._leaving = self._held_back = True
            self.transport.pauseProducing()

    def part(self) -> None:
        """Close; what is read from now on is ignored, up to the client's own close frame."""
        if self.session.state is not State.CLOSED:
            self.session.close(CloseCode.SERVICE_RESTART, "come back and resume")
            self.transport.resumeProducing()

    # -- backpressure, as the transport tells it --

    def pauseProducing(self) -> None:
        """The peer does not read as fast as we write."""
        super().pauseProducing()
        self._outbox.pause()

    def resumeProducing(self) -> None:
        """The peer reads again."""
        super().resumeProducing()
        self._outbox.resume()

    def drained(self) -> Deferred[None]:
        """See :class:`~chatd.handlers.caller.Caller`."""
        if not self._outbox.paused:
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._outbox.when_drained(lambda: drained.callback(None))
        return drained

    def _write_frame(self, frame: Frame) -> None:
        if self.state != self.STATE_OPEN:
            return
        if self._perMessageCompress is None:
            self.transport.write(frame.wire)
            return
        # Autobahn holds what it sends to the limit for what it receives, and raises.
        limit, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            self.sendMessage(frame.payload, self._form.codec.binary)
        finally:
            self.maxMessagePayloadSize = limit

    def _too_slow(self) -> None:
        if self.session.state is not State.CLOSED:
            log.info("{id} of {user} does not read: closing", id=self.id, user=self.user)
            self.session.close(CloseCode.SLOW_READER, "read faster, or come back and resume")

    # -- what the sweep sees to --

    def sweep(self, now: float, wall: float) -> None:
        """Close what has outlived its time: a token, a deadline, patience."""
        timeouts, limits = self.factory.gateway.settings.timeouts, self.factory.gateway.settings.limits
        claims = self.session.claims
        if claims is None:
            if now - self._opened_at > timeouts.auth:
                self.session.close(CloseCode.AUTH_TIMEOUT, "no token was shown in time")
        elif claims.expires_at <= wall:
            self.session.close(CloseCode.TOKEN_EXPIRED, "come back with a fresh token")
        elif not self.forewarned:
            self._forewarn(claims, wall)
        paused = 0.0 if self.paused_since is None else now - self.paused_since
        if paused > limits.slow_reader_seconds:
            self._too_slow()
        # The close frame stands behind what was not read: there is some time to read it.
        if paused > limits.slow_reader_seconds + timeouts.close or self.lingers(now, timeouts.close):
            self.transport.abortConnection()

    def _forewarn(self, claims: Claims, wall: float) -> None:
        """Tell of the token's end when it is near, if the token is no short one and events are delivered at all."""
        notice, left = self.factory.gateway.settings.tokens.expiring_notice, claims.expires_at - wall
        issued_at = self.shown_at if claims.issued_at is None else claims.issued_at
        if left <= notice and claims.expires_at - issued_at >= 2 * notice and self.delivery.phase is not Phase.IDLE:
            self.forewarned = True
            self.delivery.notice(Outgoing(TokenExpiring(expires_in_ms=round(left * 1000))))

    def end_if_revoked(self) -> None:
        """Close where the token is no longer taken."""
        claims = self.session.claims
        if claims is not None and self.factory.gateway.revocations.revoked(claims, self.device):
            self.session.close(CloseCode.TOKEN_REVOKED, "the token has been revoked")

    def onAutoPingTimeout(self) -> None:
        """No pong has come in time. While we do not read, nothing can come: that is no sign of death."""
        if not self._held_back:
            super().onAutoPingTimeout()
            return
        self.autoPingTimeoutCall = self.autoPingPending = None
        self.autoPingPendingCall = self.factory._batched_timer.call_later(
            self.factory.gateway.settings.timeouts.ping_interval, self._sendAutoPing
        )


class ConnectionFactory(WebSocketServerFactory):
    """Makes the connection handlers, all with the same options.

    ``jitter`` gives numbers from 0 to 1, which spread the return of clients that are sent away.
    """

    protocol: Any = ConnectionHandler

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

    async def shake_hands(self, headers: Mapping[str, str], offered: Sequence[str], secure: bool) -> Handshake:
        """See :class:`~chatd.edge.upgrade.SuccessorFactory`."""
        return await shake_hands(self.gateway, headers, offered, list(self.forms), secure)

    def hello(self, handler: ConnectionHandler, claims: Claims) -> Hello:
        """The first event of ``handler``'s connection."""
        settings = self.gateway.settings
        return Hello(
            session=handler.id,
            user=handler.user,
            device=handler.device,
            queue=event_queue(handler.user),
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
        spread_ms = max(SHORTEST_SPREAD_MS, len(self.handlers) * 1000 // RETURNS_PER_SECOND)
        for handler in list(self.handlers):
            handler.go_away(Goaway(retry_after_ms=round(spread_ms * self._jitter())))
        self.part_from_the_answered()

    def part_from_the_answered(self) -> None:
        """Close the connections whose last command has been answered. To be called again and again while leaving."""
        for handler in list(self.handlers):
            if not handler.in_flight:
                handler.part()
