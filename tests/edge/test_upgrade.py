"""From HTTP to a WebSocket on one port, over TCP and over TLS."""

import gc
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from chatd.edge.handshake import Handshake
from chatd.edge.sockets import Socket
from chatd.wire.commands import Done
from tests.kit.raw import TEXT, frame
from tests.kit.tls import MemoryClient
from tests.kit.visitor import Visitor, WaitingRouter, World, parsed, request, settings

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


class Successor(Protocol):
    """Notes what happens to it."""

    socket: Socket

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def connectionMade(self) -> None:
        # Raises if there is a producer already.
        self.transport.registerProducer(self, True)
        self.counted_before_anything_came = hasattr(self, "socket")

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True
        self.socket.left()


class SocketThatStays:
    """In the place of a socket whose leaving is not to be counted."""

    def left(self) -> None:
        pass


class Successors:
    """Makes them."""

    def __init__(self) -> None:
        self.made: list[Successor] = []

    async def shake_hands(
        self, headers: Mapping[str, str], offered: Sequence[str], secure: bool, client: str
    ) -> Handshake:
        return Handshake(subprotocol="chatd.v1.json", claims=None, device="default")

    def buildProtocol(self, addr: Any) -> Successor:
        self.made.append(Successor())
        return self.made[-1]


@pytest.fixture
def successors() -> Successors:
    return Successors()


@pytest.fixture
def world(successors: Successors) -> World:
    return World(websockets=successors)


def upgrade(**other: str) -> bytes:
    return request("GET", "/v1/ws", **(HANDSHAKE | other))


def test_the_connection_is_handed_over_with_the_request_as_it_was_sent(world: World, successors: Successors) -> None:
    visitor = world.visitor()
    visitor.send(upgrade(X_Twice="1\r\nX-Twice: 2"))
    [successor] = successors.made
    head, end = successor.data.split(b"\r\n", 1)
    assert (head, end[-4:]) == (b"GET /v1/ws HTTP/1.1", b"\r\n\r\n")
    assert end.lower().count(b"x-twice: ") == 2
    assert b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==".lower() in end.lower()
    assert visitor.received == b""
    assert successor.counted_before_anything_came


def test_what_follows_goes_to_the_successor_and_so_does_the_end(world: World, successors: Successors) -> None:
    visitor = world.visitor()
    visitor.send(upgrade() + b"early")
    visitor.send(b" and late")
    [successor] = successors.made
    assert successor.data.endswith(b"\r\n\r\nearly and late")
    visitor.hang_up()
    assert successor.lost


def test_no_deadline_of_http_is_left(world: World, successors: Successors) -> None:
    visitor = world.visitor()
    visitor.send(upgrade())
    assert (world.clock.getDelayedCalls(), world.site.channels) == ([], set())


def test_the_socket_stays_counted_until_the_successor_says_that_it_has_left(
    world: World, successors: Successors
) -> None:
    visitor = world.visitor()
    visitor.send(upgrade())
    [successor] = successors.made
    assert (world.admission.connections, world.admission.unauthenticated) == (1, 1)
    successor.socket.authenticated()
    successor.socket.authenticated()
    assert (world.admission.connections, world.admission.unauthenticated) == (1, 0)
    visitor.hang_up()
    successor.socket.left()
    successor.socket.authenticated()
    assert (world.admission.connections, world.admission.unauthenticated) == (0, 0)


def test_a_connection_that_spoke_http_before_can_be_handed_over(world: World, successors: Successors) -> None:
    visitor = world.visitor()
    visitor.ask("GET", "/v1/ping")
    visitor.send(upgrade())
    assert len(successors.made) == 1
    assert world.admission.unauthenticated == 0


def test_a_connection_that_was_held_back_meanwhile_is_read_again(successors: Successors) -> None:
    """So much had come behind an earlier request, and so little of its answer was read, that nothing more was."""
    router = WaitingRouter()
    visitor = World(router=router, websockets=successors).visitor()
    visitor.send(request("GET", "/v1/ping") + upgrade() + b"x" * 20_000)
    assert visitor.transport.producerState == "paused"
    visitor.transport.producer.pauseProducing()
    router.answers[0].callback(Done())
    assert successors.made == []
    visitor.transport.producer.resumeProducing()
    [successor] = successors.made
    assert successor.data.endswith(b"x" * 20_000)
    assert visitor.transport.producerState == "producing"


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_the_end_reaches_the_successor_alone(secure: bool, world: World, successors: Successors) -> None:
    client = MemoryClient(world.site, secure=secure)
    client.send(upgrade())
    [successor] = successors.made
    left = successor.socket.left
    successor.socket = SocketThatStays()
    client.close()
    assert (successor.lost, world.admission.connections) == (True, 1)
    left()
    assert world.admission.connections == 0


def test_nothing_of_the_http_connection_stays_in_memory(world: World) -> None:
    gc.collect()
    gc.disable()
    try:
        visitor = world.visitor()
        channel = weakref.ref(visitor.channel)
        visitor.channel = None
        visitor.send(upgrade())
        assert channel() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "websocket"},
        {"Connection": "Upgrade"},
        {"Upgrade": "h2c", "Connection": "Upgrade"},
        {"Upgrade": "websockets", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "close"},
    ],
)
def test_a_request_that_is_no_handshake_is_told_to_upgrade(
    headers: dict[str, str], world: World, successors: Successors
) -> None:
    answer = world.ask("GET", "/v1/ws", **headers)
    assert (answer.status, answer.code) == (426, "upgrade_required")
    assert (answer.headers["Upgrade"], answer.headers["Connection"]) == ("websocket", "Upgrade")
    assert successors.made == []


def test_nor_is_another_method_or_version(world: World, successors: Successors) -> None:
    assert world.ask("POST", "/v1/ws", {}, **HANDSHAKE).code == "upgrade_required"
    visitor = world.visitor()
    visitor.send(upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert visitor.answer().code == "upgrade_required"
    assert successors.made == []


def test_a_handshake_has_no_body(world: World, successors: Successors) -> None:
    assert world.ask("GET", "/v1/ws", b"\x81\x00", **HANDSHAKE).code == "invalid"
    assert successors.made == []


def test_where_nothing_takes_over_the_client_may_try_again() -> None:
    assert World().ask("GET", "/v1/ws", **HANDSHAKE).code == "overloaded"


# -- with Autobahn, over TCP and TLS --


class EchoFactory(WebSocketServerFactory):
    """Bare Autobahn, which takes every handshake that is one."""

    shake_hands = Successors.shake_hands


class Echo(WebSocketServerProtocol):
    """Says everything twice, and counts itself out."""

    socket: Socket

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload + payload, isBinary)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.socket.left()


def echo_world(**sections: Any) -> World:
    world = World(settings=settings(**sections))
    factory = EchoFactory(server="", reactor=world.clock)
    factory.protocol = Echo
    return World(settings=world.settings, clock=world.clock, websockets=factory)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_autobahn_takes_over(secure: bool) -> None:
    world = echo_world()
    client = MemoryClient(world.site, secure=secure)
    client.send(request("GET", "/v1/ping"))
    assert parsed(client.data)[0].status == 200
    client.send(upgrade())
    answer, _ = parsed(client.data)
    assert (answer.status, answer.headers["Sec-WebSocket-Accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    client.send(frame(TEXT, b"abc"))
    assert client.data == b"\x81\x06abcabc"
    client.close()
    assert world.admission.connections == 0


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_frame_right_behind_the_handshake_is_not_lost(secure: bool) -> None:
    client = MemoryClient(echo_world().site, secure=secure)
    client.send(upgrade() + frame(TEXT, b"abc"))
    assert client.data.endswith(b"\r\n\r\n\x81\x06abcabc")


def test_what_comes_while_the_handshake_is_looked_at_is_not_lost(successors: Successors) -> None:
    verdict: Deferred[Handshake] = Deferred()
    successors.shake_hands = lambda *handshake: verdict
    visitor = World(websockets=successors).visitor()
    visitor.send(upgrade() + b"early")
    assert successors.made == []
    verdict.callback(Handshake(subprotocol="chatd.v1.json", claims=None, device="default"))
    visitor.send(b" and late")
    [successor] = successors.made
    assert successor.data.endswith(b"\r\n\r\nearly and late")


def test_a_client_that_goes_while_the_handshake_is_looked_at_is_handed_to_nobody(successors: Successors) -> None:
    verdict: Deferred[Handshake] = Deferred()
    successors.shake_hands = lambda *handshake: verdict
    world = World(websockets=successors)
    visitor = world.visitor()
    visitor.send(upgrade())
    visitor.hang_up()
    verdict.callback(Handshake(subprotocol="chatd.v1.json", claims=None, device="default"))
    assert (successors.made, world.admission.connections) == ([], 0)


def test_over_tls_a_page_of_the_same_origin_is_https() -> None:
    client = MemoryClient(World().site, secure=True)
    for origin, status in (("https://chat.example.com", 200), ("http://chat.example.com", 403)):
        client.send(request("GET", "/v1/ping", Origin=origin))
        assert parsed(client.data)[0].status == status


def test_over_tls_a_socket_that_finds_no_room_is_cut_off_before_the_handshake() -> None:
    world = World(settings=settings(limits={"max_connections": 1}))
    Visitor(world.site)
    client = MemoryClient(world.site, secure=True)
    assert (client.received.lost, client.data, world.admission.connections) == (True, b"", 1)


def test_over_tls_a_head_that_does_not_come_in_time_is_told_so() -> None:
    world = World(settings=settings(timeouts={"handshake": 10}))
    client = MemoryClient(world.site, secure=True)
    client.send(b"GET /v1")
    world.clock.advance(10)
    client.flush()
    assert parsed(client.data)[0].code == "request_timeout"
    client.close()
    assert world.admission.connections == 0


def test_over_tls_a_client_that_never_shakes_hands_is_cut_off() -> None:
    world = World(settings=settings(timeouts={"handshake": 10, "close": 5}))
    client = MemoryClient(world.site, secure=True, shakes_hands=False)
    world.clock.advance(9)
    client.flush()
    assert not client.received.lost
    for seconds in (1, 5):
        world.clock.advance(seconds)
        client.flush()
    assert (client.received.lost, world.admission.connections) == (True, 0)
