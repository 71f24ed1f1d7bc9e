"""From an HTTP request to a WebSocket, on the same port (RFC 6455, section 4.2)."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from chatd.edge.handshake import Handshake
from chatd.edge.request import ChatRequest
from chatd.edge.sockets import Socket
from chatd.errors import ChatdError, Invalid, Overloaded, UpgradeRequired

VERSION = "13"
"""RFC 6455, section 4.2.2: other versions are told of this one."""

_SEPARATORS = re.compile(rb"[\s,]+")


class Successor(Protocol):
    """What takes a connection over: a Twisted protocol with a place for the socket.

    ``socket`` and ``handshake`` are set before the connection is made. The protocol says ``socket.authenticated()``
    when it has been shown a token that holds, and before that, where it was not the handshake that showed it,
    ``socket.count_for_person()``; ``socket.left()`` in its ``connectionLost``.
    """

    socket: Socket
    handshake: Handshake


class SuccessorFactory(Protocol):
    """Makes what takes connections over."""

    def shake_hands(
        self, headers: Mapping[str, str], offered: Sequence[str], secure: bool, client: str
    ) -> Awaitable[Handshake]:
        """What the handshake settles, of these headers by lower-case name; raises a ChatdError to refuse it.

        ``client`` is the address that it counts for.
        """

    def buildProtocol(self, addr: IAddress) -> Any:
        """The :class:`Successor` for a connection from ``addr``, or None where none is to be had."""


class UpgradeResource:
    """Hands the connection over to a protocol of ``factory``, which reads the handshake's request anew.

    What is refused is refused here, by the rules of HTTP, while the connection still speaks that: the answer may be
    waited for, and says in a body what was wrong.
    """

    def __init__(self, factory: SuccessorFactory) -> None:
        self._factory = factory

    def render(self, request: ChatRequest) -> None:
        """Hand over, or say why not, now or later."""
        Deferred.fromCoroutine(self._answer(request)).addErrback(request.failed)

    async def _answer(self, request: ChatRequest) -> None:
        try:
            request.count()
            if not _asks_for_upgrade(request):
                request.set_header(b"Upgrade", b"websocket")
                request.set_header(b"Connection", b"Upgrade")
                raise UpgradeRequired
            if request.body:
                raise Invalid("A WebSocket handshake has no body.")
            if request.header(b"Sec-WebSocket-Version") != VERSION:
                request.set_header(b"Sec-WebSocket-Version", VERSION.encode())
                raise UpgradeRequired(f"chatd speaks version {VERSION} of WebSocket.")
            headers = _headers(request)
            offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
            handshake = await self._factory.shake_hands(headers, offered, request.secure, request.client_address)
            if not request.gone:
                self._hand_over(request, handshake)
        except ChatdError as error:
            request.refuse(error)

    def _hand_over(self, request: ChatRequest, handshake: Handshake) -> None:
        channel = request.channel
        successor = self._factory.buildProtocol(channel.getPeer())  # type: ignore[no-untyped-call] # Twisted's
        if successor is None:
            raise Overloaded
        if handshake.claims is not None:
            channel.socket.count_for_person(handshake.claims.user)
        successor.socket = channel.socket
        successor.handshake = handshake
        early = channel.hand_over(successor)
        successor.dataReceived(_as_sent(request) + early)


def _headers(request: ChatRequest) -> dict[str, str]:
    """By lower-case name; a header that came several times is one list (RFC 9110, section 5.3)."""
    return {
        name.decode("latin-1").lower(): ", ".join(value.decode("utf-8", "replace") for value in values)
        for name, values in request.requestHeaders.getAllRawHeaders()
    }


def _asks_for_upgrade(request: ChatRequest) -> bool:
    return (
        request.method == b"GET"
        and request.clientproto == b"HTTP/1.1"
        and b"websocket" in _tokens(request, b"Upgrade")
        and b"upgrade" in _tokens(request, b"Connection")
    )


def _tokens(request: ChatRequest, header: bytes) -> list[bytes]:
    values = request.requestHeaders.getRawHeaders(header, [])
    return _SEPARATORS.split(b",".join(values).lower())


def _as_sent(request: ChatRequest) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method, request.uri)]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines.extend(b"%b: %b" % (name, value) for value in values)
    return b"\r\n".join(lines) + b"\r\n\r\n"
