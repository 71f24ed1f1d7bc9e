"""The sans-IO session: which message may come when, on one WebSocket connection.

============== =============================== =========================================
state          what may come                   what follows
============== =============================== =========================================
AUTHENTICATING ``auth``                        VERIFYING; anything else is refused and the connection closed
VERIFYING      any command but ``auth``: waits OPEN with a ``hello``, or CLOSED
OPEN           any command; ``auth`` renews    OPEN, or RENEWING
RENEWING       any command but ``auth``        OPEN, with the fresh token or with the one it had
CLOSED         nothing: it is ignored          CLOSED
============== =============================== =========================================

What is no command is refused, and before the first OPEN the connection closes too. A frame of the other kind than
the subprotocol's closes it in any state.

A connection whose handshake carried the token begins in OPEN. Commands that arrive in VERIFYING wait for its end,
at most :data:`MAX_WAITING` of them, so that a client may pipeline behind its ``auth``; in RENEWING they run at once.
"""

from enum import Enum, auto
from typing import Any, Protocol

from chatd.errors import ChatdError, CloseCode, Invalid, PeerError, RateLimited, ServerError, Unauthorized
from chatd.records.tokens import Claims
from chatd.wire.codec import BadFrame, Codec
from chatd.wire.commands import Command
from chatd.wire.types import DeviceId, Token

MAX_WAITING = 64
DEFAULT_DEVICE = "default"


class Auth(Command, frozen=True, kw_only=True, tag="auth"):
    """Show a token: the first message where the handshake carried none, and again to stay beyond its expiry.

    ``device`` is ``default`` unless it is named, and stays what it was when a token is renewed.
    """

    token: Token
    device: DeviceId | None = None


class State(Enum):
    """Where a session stands."""

    AUTHENTICATING = auto()
    VERIFYING = auto()
    OPEN = auto()
    RENEWING = auto()
    CLOSED = auto()


class SessionActions(Protocol):
    """What a session asks of its connection. None of these may call back into the session at once, but to close it."""

    def verify(self, auth: Auth) -> None:
        """Have the token verified, then call :meth:`Session.verified` or :meth:`Session.refused`."""

    def run(self, command: Any) -> None:
        """Have the command carried out and replied to."""

    def opened(self, claims: Claims, device: str) -> None:
        """The session is open, or was renewed: say ``hello``."""

    def refuse(self, id: int | None, error: ChatdError) -> None:
        """Reply with an error."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the connection."""


class Session:
    """One connection's conversation with the server, from its first message on."""

    __slots__ = ("_actions", "_auth", "_claims", "_codec", "_device", "_waiting", "state")

    def __init__(self, codec: Codec, actions: SessionActions) -> None:
        self._codec = codec
        self._actions = actions
        self._auth: Auth | None = None
        self._claims: Claims | None = None
        self._device: str | None = None
        self._waiting: list[Any] = []
        self.state = State.AUTHENTICATING

    @property
    def claims(self) -> Claims | None:
        """Whom the connection speaks for; None before it is known."""
        return self._claims

    def admitted(self, claims: Claims, device: str) -> None:
        """The handshake carried a token that holds."""
        self._claims, self._device, self.state = claims, device, State.OPEN
        self._actions.opened(claims, device)

    def received(self, payload: bytes, binary: bool) -> None:
        """One whole message has arrived."""
        if self.state is State.CLOSED:
            return
        if binary is not self._codec.binary:
            self.close(CloseCode.UNSUPPORTED_DATA, "frames of the other kind than the subprotocol's")
            return
        try:
            command = self._codec.decode(payload)
        except BadFrame as bad:
            self._actions.refuse(bad.id, bad.error)
            if self._claims is None:
                self.close(CloseCode.UNAUTHENTICATED, "a message before the answer to auth was no command")
            return
        self._accept(command)

    def _accept(self, command: Any) -> None:
        if type(command) is Auth:
            self._authenticate(command)
        elif self.state is State.OPEN or self.state is State.RENEWING:
            self._actions.run(command)
        elif self.state is State.AUTHENTICATING:
            self._actions.refuse(command.id, Unauthorized("The first message must be auth."))
            self.close(CloseCode.UNAUTHENTICATED, "the first message must be auth")
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(command)
        else:
            self.close(CloseCode.POLICY_VIOLATION, "too much before the answer to auth")

    def _authenticate(self, auth: Auth) -> None:
        if self.state not in (State.AUTHENTICATING, State.OPEN):
            self._actions.refuse(auth.id, Invalid("One auth at a time."))
            return
        self._auth = auth
        self.state = State.VERIFYING if self.state is State.AUTHENTICATING else State.RENEWING
        self._actions.verify(auth)

    def verified(self, claims: Claims) -> bool:
        """The token of the last ``auth`` holds. Whether it was taken, so that the ``auth`` is to be replied to."""
        auth = self._auth
        if auth is None or self.state not in (State.VERIFYING, State.RENEWING):
            return False
        device = auth.device or self._device or DEFAULT_DEVICE
        if self._claims is not None and (claims.user, device) != (self._claims.user, self._device):
            self.refused(Invalid("A connection keeps its user and its device: open another one."))
            return False
        self._claims, self._device, self.state = claims, device, State.OPEN
        self._actions.opened(claims, device)
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            # A reply that finds no room closes the connection in the middle.
            if self.state is not State.CLOSED:
                self._actions.run(command)
        return True

    def refused(self, error: PeerError) -> None:
        """The token of the last ``auth`` does not hold. An open connection keeps the one it had."""
        if self._auth is None or self.state not in (State.VERIFYING, State.RENEWING):
            return
        self._actions.refuse(self._auth.id, error)
        if self.state is State.RENEWING:
            self.state = State.OPEN
        else:
            self.close(CloseCode.UNAUTHENTICATED, "the token does not hold")

    def failed(self, error: ServerError | RateLimited) -> None:
        """No verdict on the last ``auth`` could be had. An open connection keeps the token it had."""
        if self._auth is None or self.state not in (State.VERIFYING, State.RENEWING):
            return
        self._actions.refuse(self._auth.id, error)
        if self.state is State.RENEWING:
            self.state = State.OPEN
        else:
            self.close(CloseCode.TRY_AGAIN_LATER, "not now, for the reason that the error gives")

    def close(self, code: CloseCode, reason: str) -> None:
        """Close from our side."""
        if self.state is not State.CLOSED:
            self.closed()
            self._actions.close(code, reason)

    def closed(self) -> None:
        """The connection has gone."""
        self.state = State.CLOSED
        self._waiting.clear()
