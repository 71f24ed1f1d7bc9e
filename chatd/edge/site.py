"""What chatd serves on its port: the WebSocket, the commands over HTTP, their descriptions, and its own health."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from chatd.edge.channel import ChatChannel, Phase
from chatd.edge.gateway import Gateway
from chatd.edge.headers import COMMON, Headers, over_tls
from chatd.edge.health import Health, Readiness
from chatd.edge.reading import Document
from chatd.edge.request import ChatRequest
from chatd.edge.rest import RestResource
from chatd.edge.turning_away import Farewells, TurnedAway
from chatd.edge.upgrade import SuccessorFactory, UpgradeResource
from chatd.errors import ChatdError, NotFound, Overloaded

log = Logger()

INDEX = b"""\
{
  "websocket": "/v1/ws",
  "descriptions": {"http": "/v1/openapi.json", "websocket": "/v1/asyncapi.json"},
  "health": {"alive": "/healthz", "ready": "/readyz"}
}
"""

RETRY_AFTER_MS = 2_000
"""How long at least, and half of how long at most, a socket that finds no room is asked to wait."""

LONGEST_LINE_S = 60.0
"""How long at most is waited besides for the turns of others."""


class Responder(Protocol):
    """What answers to the requests of a path."""

    def render(self, request: ChatRequest) -> object:
        """Answer ``request``, now or later, with one of its methods for that; a ChatdError refuses it."""


class Entrance(Resource):
    """Leads each path to what answers to it; ``commands`` answer to all that is left under ``/v1/``."""

    isLeaf = True

    def __init__(self, documents: Mapping[bytes, Responder], commands: Responder) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted's
        self._documents = documents
        self._commands = commands

    def render(self, request: ChatRequest) -> int:
        """Answer ``request``, now or later; raises a ChatdError to refuse it."""
        responder = self._documents.get(request.path)
        if responder is not None:
            responder.render(request)
        elif request.path.startswith(b"/v1/"):
            self._commands.render(request)
        else:
            request.count()
            raise NotFound
        return NOT_DONE_YET


class ChatSite(Site):
    """Accepts connections and watches over those that speak HTTP.

    ``jitter`` gives numbers from 0 to 1, which spread the return of clients that found no room.
    """

    protocol = ChatChannel  # type: ignore[assignment] # Twisted's type is that of its own choice between protocols
    requestFactory = ChatRequest

    def __init__(self, gateway: Gateway, entrance: Entrance, jitter: Callable[[], float] = random.random) -> None:
        super().__init__(entrance, reactor=gateway.reactor)  # type: ignore[no-untyped-call] # Twisted's
        # Channels have deadlines of their own.
        self.timeOut = None
        self.gateway = gateway
        self.channels: set[ChatChannel] = set()
        self.closing = False
        self._jitter = jitter
        self._over_tls = over_tls(gateway.settings.tls.hsts_seconds)
        self._line_ends = 0.0
        timeouts = gateway.settings.timeouts
        self.deadlines = {
            Phase.ACCEPTED: timeouts.handshake,
            Phase.HEAD: timeouts.handshake,
            Phase.BODY: timeouts.http_body,
            Phase.IDLE: timeouts.http_idle,
            Phase.ENDING: timeouts.http_idle,
            Phase.CLOSING: timeouts.close,
        }
        self.farewells = Farewells(gateway.admission, self.reactor, timeouts.close)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 only: Twisted would add HTTP/2 as soon as its libraries are there, which none of this is for."""
        return [b"http/1.1"]

    def common_headers(self, secure: bool) -> Headers:
        """What every answer has on a connection that has TLS, or that a proxy has passed on which ends it."""
        return self._over_tls if secure or self.gateway.settings.behind_proxy else COMMON

    def startFactory(self) -> None:
        """There is no access log file to open."""

    def stopFactory(self) -> None:
        """There is no access log file to close."""

    def log(self, request: Request) -> None:
        """Note an answered request. Its query is left out, since people put secrets there."""
        log.debug(
            "{method} {path} {status} for {user} at {client}",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            status=request.code,
            user=getattr(request, "asker", None),
            client=getattr(request, "client", None),
            request=getattr(request, "id", None),
        )

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Speak HTTP on a new socket; where too many come at once, say no more than when to come back.

        The address comes first, so that one from which all the connects come does not use up the turns of the others.
        """
        throttle, clients = self.gateway.throttle, self.gateway.clients
        peer = clients.peer(addr)
        # Whom a trusted proxy brings is known once a request has come.
        client = "" if peer.proxy else clients.rated(peer.host)
        refusal: ChatdError | None = throttle.connect_refusal(client)
        if refusal is None:
            if throttle.has_turn():
                return super().buildProtocol(addr)  # type: ignore[no-untyped-call] # Twisted's
            refusal = Overloaded("Too many connect at once: wait, and come back.", retry_after_ms=self._turn_ms())
        self.gateway.admission.refused += 1
        return TurnedAway(refusal, self.common_headers(False), self.farewells, peer.host)

    def _turn_ms(self) -> int:
        """When a socket that came out of turn may try again.

        Each is told a turn of its own, behind those that were told theirs before, so that all who are turned away come
        back no faster than they are let in, however many they are.
        """
        now = self.gateway.reactor.seconds()
        line = max(0.0, self._line_ends - now)
        self._line_ends = now + min(line + 1 / self.gateway.throttle.connects.rate.per_second, LONGEST_LINE_S)
        return round(1000 * line) + self.retry_after_ms()

    def retry_after_ms(self) -> int:
        """When a socket that found no room may try again."""
        return RETRY_AFTER_MS + round(RETRY_AFTER_MS * self._jitter())

    @property
    def arriving(self) -> int:
        """HTTP connections whose request is still to come, wholly or in part."""
        arriving = sum(channel.phase in (Phase.ACCEPTED, Phase.HEAD, Phase.BODY) for channel in self.channels)
        return arriving + len(self.gateway.clients.awaited)

    @property
    def in_flight(self) -> int:
        """HTTP requests that are being answered."""
        return sum(channel.phase is Phase.ANSWERING for channel in self.channels)

    def go_away(self) -> None:
        """Close what is idle now, and the other HTTP connections when their request has been answered."""
        self.closing = True
        for channel in list(self.channels):
            channel.go_away()


def build_site(gateway: Gateway, websocket_factory: SuccessorFactory, descriptions: Mapping[str, bytes]) -> ChatSite:
    """Everything that one port serves. The WebSocket's factory is started and stopped by whoever opens the port.

    ``descriptions`` are JSON documents about it, by the names of their files.
    """
    documents: dict[bytes, Responder] = {
        b"/": Document(INDEX),
        b"/v1/ws": UpgradeResource(websocket_factory),
        b"/healthz": Health(),
        b"/readyz": Readiness(gateway.condition),
        **{b"/v1/" + name.encode(): Document(content) for name, content in descriptions.items()},
    }
    return ChatSite(gateway, Entrance(documents, RestResource(gateway)))
