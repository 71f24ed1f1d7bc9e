"""The connection handler: one Autobahn protocol instance for each WebSocket.

It moves bytes between Autobahn, the sans-IO session, the router and the outbox, and keeps no rules of its own.
"""

# Autobahn's and Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.edge.frames import Frames
from chatd.edge.guarded import GuardedProtocol
from chatd.edge.handshake import Handshake
from chatd.edge.sockets import Socket
from chatd.errors import ChatdError, CloseCode, Internal, PeerError, RateLimited, ServerError
from chatd.records.tokens import Claims
from chatd.router import Lanes
from chatd.security.limits import Bucket
from chatd.security.scopes import NONE
from chatd.state.delivery import Delivery, Phase
from chatd.state.outbox import Outbox
from chatd.state.throttle import Allowance
from chatd.wire.commands import Command, Done, Reply
from chatd.wire.events import Goaway, Outgoing, TokenExpiring
from chatd.wire.session import DEFAULT_DEVICE, Auth, Session, State

if TYPE_CHECKING:
    from chatd.edge.websocket import ConnectionFactory

log = Logger()

INSISTING = "too much was sent while it was refused: wait 10 s, then come back slower and resume"


class ConnectionHandler(GuardedProtocol):
    """One client's connection. It is the caller behind its commands and the actions of its session."""

    factory: "ConnectionFactory"
    socket: Socket
    handshake: Handshake
    session: Session
    allowance: Allowance
    user = ""
    device = ""
    shown_at = 0.0
    forewarned = False
    # Autobahn's: the frames of a message that has not arrived whole.
    message_data: Any = None

    # -- the life of the connection, as Autobahn tells it --

    def onConnect(self, request: Any) -> str:
        """Autobahn has read the request too: its answer names the subprotocol that was settled."""
        return self.handshake.subprotocol

    def onOpen(self) -> None:
        """The WebSocket is open."""
        limits = self.factory.gateway.settings.limits
        self.id = uuid4().hex
        self.lanes = Lanes()
        self._bucket = Bucket()
        self._form = self.factory.forms[self.handshake.subprotocol]
        self._outbox: Outbox[Frames] = Outbox(
            self._write_frames,
            self._too_slow,
            event_bytes=limits.event_buffer_bytes,
            total_bytes=limits.output_buffer_bytes,
        )
        self.delivery: Delivery[Frames] = Delivery(self._outbox, self._form)
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
        log.debug("{connection} closed: {code} {reason}", connection=self.id, code=code, reason=reason)

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
            gateway = self.factory.gateway
            refusal = gateway.throttle.auth_refusal(self._bucket)
            if refusal is not None:
                raise refusal
            claims = await gateway.identify(auth.token, device, self.client_address)
            self.socket.count_for_person(claims.user)
        except RateLimited as refusal:
            self.session.failed(refusal)
        except PeerError as error:
            self.session.refused(error)
        except ServerError as error:
            self.session.failed(error)
        except Exception:
            log.failure("the token verifier failed", connection=self.id)
            self.session.failed(Internal())
        else:
            if self.session.verified(claims):
                self._reply(auth.id, Done())

    def opened(self, claims: Claims, device: str) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        if not self.user:
            self.user, self.device = claims.user, device
            self.allowance = self.factory.gateway.throttle.allowance(self.user, self.client_address, self._bucket)
            self.factory.gateway.hub.attach(self.user, self.delivery)
            self.factory.authenticated(self)
            log.debug(
                "{connection} is {user} on {device} at {client}",
                connection=self.id,
                user=self.user,
                device=device,
                client=self.socket.host,
            )
        self.factory.gateway.arrived(claims, device)
        self.shown_at, self.forewarned = self.factory.gateway.now(), False
        self._outbox.reply(self._form.encode(self.factory.hello(self, claims)))
        # It may have been revoked since it was verified.
        self.end_if_revoked()

    @property
    def client_address(self) -> str:
        """Whose rates it counts for; empty where that is not known."""
        return self.factory.gateway.clients.rated(self.socket.host or "")

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
        error = failure.value if isinstance(failure.value, ChatdError) else Internal()
        self._reply_error(id, error)
        if isinstance(error, RateLimited):
            self._lose_patience()

    def _unforeseen(self, failure: Failure) -> None:
        """A reply could not be written: the client must not wait for it."""
        log.failure("{connection} could not be replied to", failure, connection=self.id, user=self.user)
        self.session.close(CloseCode.INTERNAL_ERROR, "come back and resume")

    def _finished(self) -> None:
        self.in_flight -= 1
        self.factory.in_flight -= 1
        if self._held_back and not self._leaving and self.in_flight <= self.factory.max_in_flight // 2:
            self._held_back = False
            self.transport.resumeProducing()

    def _reply(self, id: int, reply: Reply) -> None:
        self._outbox.reply(self._form.frames(self._form.codec.encode_reply(id, reply)))

    def refuse(self, id: int | None, error: ChatdError) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        self._reply_error(id, error)
        self._lose_patience()

    def _lose_patience(self) -> None:
        """One more message was no command, or too much. Whoever sends on and on is closed."""
        if self.socket.insists(self.factory.gateway.throttle):
            log.info("{connection} of {user} goes on while it is refused: closing", connection=self.id, user=self.user)
            self.session.close(CloseCode.FLOODING, INSISTING)

    def _reply_error(self, id: int | None, error: ChatdError) -> None:
        self._outbox.reply(self._form.frames(self._form.codec.encode_error(id, error)))

    def close(self, code: CloseCode, reason: str) -> None:
        """See :class:`~chatd.wire.session.SessionActions`."""
        log.debug("{connection} closing: {code} {reason}", connection=self.id, code=int(code), reason=reason)
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

    @property
    def held_bytes(self) -> int:
        """See :class:`~chatd.edge.memory.Holder`."""
        return self._outbox.waiting_bytes + len(self.data) + sum(map(len, self.message_data or ()))

    def drop(self) -> None:
        """See :class:`~chatd.edge.memory.Holder`."""
        log.warn("{connection} of {user} is dropped, since memory is short", connection=self.id, user=self.user)
        self.transport.abortConnection()

    def _write_frames(self, frames: Frames) -> None:
        if self.state != self.STATE_OPEN:
            return
        if self._perMessageCompress is None:
            self.transport.write(frames.wire)
            return
        # Autobahn holds what it sends to the limit for what it receives, and raises.
        limit, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            for payload in frames.payloads:
                self.sendMessage(payload, self._form.codec.binary)
        finally:
            self.maxMessagePayloadSize = limit

    def _too_slow(self) -> None:
        if self.session.state is not State.CLOSED:
            log.info("{connection} of {user} does not read: closing", connection=self.id, user=self.user)
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
