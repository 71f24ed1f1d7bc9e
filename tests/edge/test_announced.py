"""Connections that begin with a PROXY header, from those who may say so, and from others."""

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from chatd.edge.announced import announcement
from tests.edge.test_clients import PING
from tests.edge.test_upgrade import Successors, upgrade
from tests.kit.tls import server_options
from tests.kit.visitor import RecordingRouter, TcpTransport, Visitor, World, parsed, request, settings
from tests.wire.test_proxy_header import V4, version_2

PROXY, STRANGER, CLIENT = "127.0.0.1", "198.51.100.1", "192.0.2.7"
HEADERS = [b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n", version_2(0x11, V4 + b"\x04\x00\x01x")]
UNNAMED = [b"PROXY UNKNOWN\r\n", version_2(0, command=0x20), version_2(0), version_2(0x31, bytes(216))]
GET = request("GET", "/v1/ping")
WITHIN = 10


class TlsReadyTransport(TcpTransport):
    """What TLS expects of a socket."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There are no packets here."""

    def connectionLost(self, reason: Failure) -> None:
        """As Twisted ends both sides at once."""
        self.protocol.connectionLost(reason)


class Announced(Visitor):
    """One connection to a port where trusted proxies begin with a header."""

    def __init__(self, world: World, address: IAddress, behind: IProtocolFactory | None = None) -> None:
        announced = announcement(world.settings, world.site.gateway.clients, world.clock)
        assert announced is not None
        factory = announced(behind or world.site)
        factory.doStart()
        self.transport = TlsReadyTransport(peerAddress=address, lenient=True)
        self.transport.protocol = factory.buildProtocol(address)
        self.transport.protocol.makeConnection(self.transport)


Connect = Callable[..., Announced]


@pytest.fixture
def world() -> World:
    return World(
        settings=settings(proxies={"trusted": [PROXY, "unix"], "proxy_protocol": True}, timeouts={"handshake": WITHIN}),
        router=RecordingRouter(PING),
        websockets=Successors(),
    )


@pytest.fixture
def connect(world: World) -> Connect:
    return lambda host=PROXY: Announced(world, IPv4Address("TCP", host, 50000) if host else UNIXAddress(None))


def counted(world: World) -> dict[str, int]:
    return world.by_address


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("host", [PROXY, ""])
def test_a_connection_is_the_clients_whom_the_header_names(
    host: str, header: bytes, world: World, connect: Connect
) -> None:
    visitor = connect(host)
    assert (counted(world), world.site.arriving) == ({}, 1)
    visitor.send(header + GET)
    assert (visitor.answer().status, counted(world), world.site.arriving) == (200, {CLIENT: 1}, 0)
    visitor.hang_up()
    assert (counted(world), world.clock.getDelayedCalls()) == ({}, [])


@pytest.mark.parametrize("header", HEADERS)
def test_the_header_may_arrive_byte_by_byte(header: bytes, world: World, connect: Connect) -> None:
    visitor = connect()
    visitor.trickle(header + GET)
    assert (visitor.answer().status, counted(world)) == (200, {CLIENT: 1})


@pytest.mark.parametrize("header", HEADERS)
def test_a_client_that_is_announced_is_not_believed_about_itself(header: bytes, world: World, connect: Connect) -> None:
    visitor = connect()
    visitor.send(header + request("GET", "/v1/ping", X_Forwarded_For="203.0.113.66", X_Request_Id="mine"))
    assert visitor.answer().headers["X-Request-Id"] != "mine"
    assert counted(world) == {CLIENT: 1}


@pytest.mark.parametrize("header", UNNAMED)
def test_where_no_client_is_named_none_is_known_and_none_is_believed(
    header: bytes, world: World, connect: Connect
) -> None:
    visitor = connect()
    visitor.send(header + request("GET", "/v1/ping", X_Forwarded_For=CLIENT))
    assert (visitor.answer().status, counted(world)) == (200, {})


def test_a_proxy_behind_the_announcing_one_is_believed_if_it_is_trusted(world: World, connect: Connect) -> None:
    visitor = connect()
    header = b"PROXY TCP4 127.0.0.1 198.51.100.1 50000 443\r\n"
    visitor.send(header + request("GET", "/v1/ping", X_Forwarded_For=CLIENT, X_Request_Id="from-there"))
    assert visitor.answer().headers["X-Request-Id"] == "from-there"


@pytest.mark.parametrize("header", HEADERS + UNNAMED)
def test_a_header_of_a_stranger_is_no_http_and_changes_nothing(header: bytes, world: World, connect: Connect) -> None:
    visitor = connect(STRANGER)
    visitor.send(header + GET)
    assert (parsed(visitor.received)[0].status, visitor.closed) == (400, True)
    assert counted(world) == {STRANGER: 1}


def test_a_stranger_needs_none(world: World, connect: Connect) -> None:
    visitor = connect(STRANGER)
    visitor.send(GET)
    assert (visitor.answer().status, counted(world)) == (200, {STRANGER: 1})


@pytest.mark.parametrize("received", [GET, b"\x16\x03\x01", b"PROXY TCP4 \x1b[31m\r\n", version_2(0x11, V4, 0x22)])
def test_a_proxys_connection_without_a_right_header_is_closed_without_a_word(
    received: bytes, world: World, connect: Connect, logged: list[LogEvent]
) -> None:
    visitor = connect()
    visitor.send(received)
    assert (visitor.aborted, visitor.received, world.site.arriving) == (True, b"", 0)
    [warning] = [event for event in logged if "PROXY header" in event["log_format"]]
    assert (warning["proxy"], "\x1b" in warning["reason"]) == (PROXY, False)
    visitor.hang_up()
    assert (world.clock.getDelayedCalls(), world.admission.connections) == ([], 0)


@pytest.mark.parametrize("beginning", [b"", b"PROXY TC", HEADERS[1][:20]])
def test_a_header_that_does_not_come_in_time_ends_the_connection(
    beginning: bytes, world: World, connect: Connect
) -> None:
    visitor = connect()
    visitor.send(beginning)
    world.clock.advance(WITHIN - 1)
    assert not visitor.aborted
    world.clock.advance(1)
    assert visitor.aborted


def test_who_hangs_up_before_the_header_leaves_nothing_behind(world: World, connect: Connect) -> None:
    visitor = connect()
    visitor.send(b"PROXY")
    visitor.hang_up()
    assert (world.clock.getDelayedCalls(), world.site.arriving) == ([], 0)


def test_a_client_that_has_closed_its_side_is_answered_all_the_same(world: World, connect: Connect) -> None:
    visitor = connect()
    visitor.send(HEADERS[0] + b"nonsense\r\n\r\n")
    visitor.transport.protocol.readConnectionLost()
    assert (visitor.answer().status, visitor.transport.disconnecting) == (400, True)
    visitor.hang_up()
    assert (world.clock.getDelayedCalls(), counted(world)) == ([], {})


@pytest.mark.parametrize("said", [b"", HEADERS[0] + upgrade()], ids=["no header yet", "a WebSocket"])
def test_what_cannot_go_on_with_one_side_ends_when_the_client_closes_its_own(
    said: bytes, world: World, connect: Connect
) -> None:
    visitor = connect()
    visitor.send(said)
    visitor.transport.protocol.readConnectionLost()
    assert all(successor.lost for successor in world.websockets.made)
    assert (world.clock.getDelayedCalls(), world.site.arriving, counted(world)) == ([], 0, {})


def test_an_announced_client_that_has_no_more_room_is_told_so(world: World, connect: Connect) -> None:
    world.admission.addresses.most = 1
    first, second = connect(), connect()
    first.send(HEADERS[0])
    second.send(HEADERS[1] + GET)
    answer = second.answer()
    assert (answer.status, answer.code, second.closed) == (429, "rate_limited", True)


def test_a_websocket_takes_an_announced_connection_over(world: World, connect: Connect) -> None:
    visitor = connect()
    visitor.send(HEADERS[0] + upgrade() + b"early")
    visitor.send(b" and late")
    [successor] = world.websockets.made
    assert successor.data.endswith(b"early and late")
    assert successor.transport.getPeer().host == successor.socket.host == CLIENT
    visitor.hang_up()
    assert (successor.lost, counted(world)) == (True, {})


class TlsClient:
    """Speaks TLS over a visitor's connection, in memory."""

    def __init__(self, visitor: Announced, clock: Clock) -> None:
        self._visitor, self._clock = visitor, clock
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def ask(self, data: bytes) -> bytes:
        """What comes back when this is sent."""
        self._until_done(self._tls.do_handshake)
        self._tls.write(data)
        return bytes(self._until_done(self._tls.read))

    def _until_done(self, step: Callable[[], Any]) -> Any:
        for _ in range(5):
            try:
                return step()
            except ssl.SSLWantReadError:
                self._visitor.send(self._outgoing.read())
                # TLS gathers small writes for a moment.
                self._clock.advance(0)
                self._incoming.write(self._visitor.received)
                self._visitor.transport.clear()
        raise AssertionError("the server does not go on")


def test_the_header_comes_before_tls(world: World) -> None:
    clock = Clock()
    behind = TLSMemoryBIOFactory(server_options(), False, world.site, clock)
    visitor = Announced(world, IPv4Address("TCP", PROXY, 50000), behind)
    visitor.trickle(HEADERS[1])
    client = TlsClient(visitor, clock)
    assert parsed(client.ask(GET))[0].status == 200
    assert counted(world) == {CLIENT: 1}
