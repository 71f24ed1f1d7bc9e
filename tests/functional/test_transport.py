"""Peers that are slow, silent or half gone: each is served, or closed at its deadline."""

import time
from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.kit.clients import JSON, headers
from tests.kit.people import Person
from tests.kit.raw import PING, PONG, TEXT, RawSocket, frame
from tests.kit.server import Sections, Server
from tests.kit.waiting import WITHIN_S

TRICKLE_S = 0.05
GET = b"GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"timeouts": {"handshake": 1, "ping_interval": 1, "ping_timeout": 2, "http_idle": 1, "close": 1}}


def trickle(raw: RawSocket, data: Iterator[int]) -> bytes:
    """Send a byte now and then until the server answers or ends it; what it says, empty for the mere end."""
    raw.socket.settimeout(TRICKLE_S)
    deadline = time.monotonic() + WITHIN_S
    for byte in data:
        assert time.monotonic() < deadline, "the server bears it for ever"
        try:
            raw.socket.send(bytes([byte]))
            return raw.socket.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    raise AssertionError("there was nothing left to send")


def test_a_peer_that_answers_no_pings_is_closed_and_one_that_does_is_not(
    server: Server, alice: Person, bob: Person
) -> None:
    with alice.raw() as silent, bob.connect() as alive:
        assert silent.message()["type"] == "hello"
        assert silent.receive().opcode == PING
        assert silent.ended()
        assert alive.ask("ping")["type"] == "ok"


def test_a_peer_that_only_answers_pings_stays(alice: Person) -> None:
    with alice.raw() as raw:
        raw.message()
        for _ in range(3):
            received = raw.receive()
            assert received.opcode == PING
            raw.send_frame(PONG, received.payload)
        raw.say({"id": 1, "type": "ping"})
        assert raw.message()["type"] == "ok"


def test_one_byte_at_a_time_is_served(server: Server, alice: Person) -> None:
    with RawSocket(server.url) as raw:
        request = raw.handshake(headers(alice.token(), None) | {"Sec-WebSocket-Protocol": JSON})
        frames = frame(TEXT, b'{"id":7,', fin=False) + frame(PING, b"in between") + frame(0, b'"type":"ping"}')
        for byte in request:
            raw.send(bytes([byte]))
        assert raw.response()[0] == 101
        assert raw.message()["type"] == "hello"
        for byte in frames:
            raw.send(bytes([byte]))
        assert raw.receive().payload == b"in between"
        assert raw.message()["id"] == 7


def test_a_handshake_that_trickles_is_closed_at_the_deadline(server: Server, alice: Person) -> None:
    with RawSocket(server.url) as raw:
        request = raw.handshake(headers(alice.token(), None) | {"Sec-WebSocket-Protocol": JSON})
        raw.send(request[:-60])
        answer = trickle(raw, iter(request[-60:]))
        assert answer.startswith(b"HTTP/1.1 408 ")
        raw.socket.settimeout(WITHIN_S)
        assert raw.ended()


@pytest.mark.parametrize("first", [b"", GET])
def test_headers_without_end_are_refused(first: bytes, server: Server) -> None:
    """In the first request of a connection, and in the second."""
    with RawSocket(server.url) as raw:
        if first:
            raw.send(first)
            assert raw.response()[0] == 401
        raw.send(b"GET /v1/ws HTTP/1.1\r\n")
        answer = trickle(raw, cycle(b"x: y\r\n"))
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("said", [b"", GET])
def test_a_socket_on_which_nothing_comes_is_closed(said: bytes, server: Server) -> None:
    """At once after it was opened, or after a first request."""
    with RawSocket(server.url) as raw:
        raw.send(said)
        assert raw.ended()


def test_many_that_trickle_do_not_keep_others_out(server: Server, alice: Person) -> None:
    sockets = [RawSocket(server.url) for _ in range(100)]
    try:
        for raw in sockets:
            raw.send(b"GET /v1/ws HTTP/1.1\r\nHost: local")
        with alice.connect() as client:
            assert client.ask("ping")["type"] == "ok"
        assert all(raw.ended() for raw in sockets)
    finally:
        for raw in sockets:
            raw.socket.close()
