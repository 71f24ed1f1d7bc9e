"""A site in memory and clients of it: every byte is seen, and time passes only when a test says so."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.edge.admission import Admission
from chatd.edge.clients import Clients
from chatd.edge.descriptions import descriptions
from chatd.edge.gateway import Gateway
from chatd.edge.handshake import Handshake
from chatd.edge.site import ChatSite, build_site
from chatd.errors import Unauthorized
from chatd.handlers.catalogue import DECLARATIONS
from chatd.interfaces.tokens import ITokenVerifier
from chatd.records.condition import Dependency, condition
from chatd.records.tokens import Claims
from chatd.router import Router
from chatd.settings.model import Settings
from chatd.settings.rates import Rates
from chatd.state.hub import Hub
from chatd.state.revocations import Revocations
from chatd.state.throttle import Throttle
from chatd.wire.commands import Command, Declaration, Done, Reply

TOKEN = "token-of-alice"

DESCRIPTIONS = descriptions()
"""Made once: that takes longer than most that is done with them."""


@implementer(ITokenVerifier)
class Tokens:
    """Accepts ``token-of-<user>``; ``asked`` are all tokens that it was shown."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verify(self, token: str, device: str) -> Deferred[Claims]:
        self.asked.append(token)
        user = token.removeprefix("token-of-")
        if user == token:
            raise Unauthorized
        return succeed(Claims(user=user, issuer="https://auth.example.com", expires_at=1e12))


class RecordingRouter:
    """Has every declaration of the program, and carries out nothing: ``carried_out`` are the commands it was given."""

    def __init__(self, declarations: Sequence[Declaration] = DECLARATIONS) -> None:
        self.declarations = list(declarations)
        self.carried_out: list[Any] = []
        self.callers: list[Any] = []

    def dispatch(self, caller: Any, command: Command) -> Deferred[Reply]:
        self.callers.append(caller)
        self.carried_out.append(command)
        return succeed(Done())


class WaitingRouter(RecordingRouter):
    """Answers when ``answers`` are given, which are Deferreds in the order of the commands."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Deferred[Reply]] = []

    def dispatch(self, caller: Any, command: Command) -> Deferred[Reply]:
        self.carried_out.append(command)
        self.answers.append(Deferred())
        return self.answers[-1]


class NoWebSockets:
    """A WebSocket factory for tests that need none."""

    async def shake_hands(
        self, headers: Mapping[str, str], offered: Sequence[str], secure: bool, client: str
    ) -> Handshake:
        return Handshake(subprotocol="chatd.v1.json", claims=None, device="default")

    def buildProtocol(self, addr: object) -> None:
        return None


@dataclass
class World:
    """A worker's way in, with everything around it."""

    router: Any = field(default_factory=RecordingRouter)
    settings: Settings = field(default_factory=Settings)
    websockets: Any = field(default_factory=NoWebSockets)
    verifier: Any = field(default_factory=Tokens)
    clock: Clock = field(default_factory=Clock)
    ready: bool = True
    dependencies: dict[str, Dependency] = field(default_factory=dict)
    revocations: Revocations = field(default_factory=Revocations)

    def __post_init__(self) -> None:
        self.throttle = Throttle(self.settings.rates, b"secret", self.clock.seconds)
        clients = Clients(self.settings)
        self.admission = Admission(self.settings.limits, clients, lambda kind, name: name.encode())
        gateway = Gateway(
            router=self.router,
            verifier=self.verifier,
            revocations=self.revocations,
            hub=Hub(_no_events),
            admission=self.admission,
            clients=clients,
            throttle=self.throttle,
            settings=self.settings,
            reactor=self.clock,
            now=self.clock.seconds,
            condition=lambda: condition(self.ready, self.dependencies),
            features=(),
            epoch=lambda: "an-epoch",
        )
        self.site: ChatSite = build_site(gateway, self.websockets, DESCRIPTIONS)

    @property
    def by_address(self) -> dict[str, int]:
        """How many connections are counted for whom."""
        return {key.decode(): number for key, number in self.admission.addresses._here.items()}

    def visitor(self, host: str = "192.0.2.1") -> "Visitor":
        """Connect."""
        return Visitor(self.site, host)

    def ask(self, method: str, target: str, body: object = None, **headers: str) -> "Answer":
        """One request on a connection of its own, with a token; ``Chatd_Device`` stands for ``Chatd-Device``."""
        visitor = self.visitor()
        answer = visitor.ask(method, target, body, **headers)
        visitor.hang_up()
        return answer


def _no_events(entry: object, content: object) -> Any:
    raise AssertionError("nothing is delivered here")


def handled_by(*handlers: object, failed: Callable[[str, BaseException, Any], None] | None = None) -> World:
    """A world whose router leads to ``handlers``."""
    return World(router=Router(handlers, failed or (lambda name, error, caller: None)))


UNLIMITED = dict.fromkeys(Rates.__struct_fields__, "off")
"""The rates of a site of which a whole module's tests ask, while its clock stands still."""


def settings(**sections: dict[str, Any]) -> Settings:
    """Settings that differ from the defaults in these."""
    return msgspec.convert(sections, Settings)


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> Any:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return self.json

    @property
    def code(self) -> str:
        return str(self.problem["code"])


class TcpTransport(StringTransport):
    """One whose sides can be closed apart."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        """Nothing more is written."""
        self.half_closed = True


class Visitor:
    """One connection, seen from the client."""

    def __init__(self, site: ChatSite, host: str = "192.0.2.1") -> None:
        self.transport = TcpTransport(peerAddress=IPv4Address("TCP", host, 50000), lenient=True)
        self.channel: Any = site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Let bytes arrive, at whatever protocol has the connection now."""
        self.transport.protocol.dataReceived(data)

    def trickle(self, data: bytes) -> None:
        """Let them arrive one by one."""
        for byte in data:
            self.send(bytes([byte]))

    def ask(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        """Send a request, with a token unless ``Authorization`` is among the headers, and take the answer."""
        self.send(request(method, target, body, **headers))
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The one response that has come."""
        answer, rest = parsed(self.received, method)
        assert rest == b"", rest
        self.transport.clear()
        return answer

    @property
    def received(self) -> bytes:
        return self.transport.value()

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, gently or not."""
        return self.transport.disconnecting or self.transport.half_closed

    @property
    def aborted(self) -> bool:
        return bool(self.transport.disconnected)

    def hang_up(self) -> None:
        """End the connection, as either side may."""
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))


def request(method: str, target: str, body: object = None, **headers: str) -> bytes:
    """A request; a body that is not bytes is sent as JSON. A header with an empty value is left out."""
    lines = {"Host": "chat.example.com", "Authorization": f"Bearer {TOKEN}"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        lines.setdefault("Content-Type", "application/json")
        lines.setdefault("Content-Length", str(len(content)))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + content


class _Received:
    """As much of a socket as :class:`http.client.HTTPResponse` looks at."""

    def __init__(self, data: bytes) -> None:
        self.file = BytesIO(data)
        self.file.close = lambda: None  # what follows the response is still to be read

    def makefile(self, mode: str) -> BytesIO:
        return self.file


def parsed(data: bytes, method: str = "GET") -> tuple[Answer, bytes]:
    """The first response in ``data``, and what follows it."""
    received = _Received(data)
    response = HTTPResponse(received, method=method)
    response.begin()
    body = response.read()
    return Answer(response.status, response.headers, body), received.file.read()
