"""Peers that are slow, silent or half gone: each is served, or closed at its deadline."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle

import pytest

from tests.kit.clients import JSON, headers
from tests.kit.people import Person
from tests.kit.postgres import Cluster
from tests.kit.raw import PING, PONG, TEXT, RawSocket, frame, parsed
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService
from tests.kit.waiting import WITHIN_S, wait_for

TRICKLE_S = 0.05
PING_SECONDS = 1
PATIENCE_SECONDS = 5
"""Tests wait for it to pass, and peers that are alive do not exceed it, however busy the machine may be."""
GET = b"GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def settings() -> Sections:
    """Of the server for those who are served."""
    return {"timeouts": {"handshake": 60, "ping_interval": PING_SECONDS, "ping_timeout": PATIENCE_SECONDS}}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, auth: AuthService) -> Iterator[Server]:
    """The server for those whose time runs out."""
    timeouts = {"handshake": PATIENCE_SECONDS, "http_idle": PATIENCE_SECONDS, "close": 1}
    server = Server(tmp_path_factory.mktemp("impatient"), cluster.create_database(), auth, {"timeouts": timeouts})
    yield server.start()
    server.close()


def trickle(raw: RawSocket, data: Iterator[int]) -> bytes:
    """Send a byte now and then until the server answers or ends it; what it says, empty for the mere end."""
    deadline = time.monotonic() + WITHIN_S
    for byte in data:
        assert time.monotonic() < deadline, "the server bears it for ever"
        readable, _, _ = select.select([raw.socket], [], [], TRICKLE_S)
        if readable:
            return raw.socket.recv(65536)
        # Where the end came between the two, there is something to read now.
        with suppress(ConnectionError):
            raw.send(bytes([byte]))
    raise AssertionError("there was nothing left to send")


def test_a_peer_that_answers_no_pings_is_closed_and_one_that_does_nothing_else_is_not(
    server: Server, alice: Person, bob: Person
) -> None:
    with alice.raw() as silent, bob.raw() as alive:
        assert alive.message()["type"] == silent.message()["type"] == "hello"
        assert silent.receive().opcode == PING
        deadline = time.monotonic() + WITHIN_S
        while not silent.broken():
            assert time.monotonic() < deadline, "the server bears its silence for ever"
            received = alive.receive()
            assert received.opcode == PING
            alive.send_frame(PONG, received.payload)
        alive.say({"id": 1, "type": "ping"})
        while (received := alive.receive()).opcode == PING:
            alive.send_frame(PONG, received.payload)
        assert parsed(received)["type"] == "ok"


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


def test_a_handshake_that_trickles_is_closed_at_the_deadline(impatient: Server, alice: Person) -> None:
    with RawSocket(impatient.url) as raw:
        request = raw.handshake(headers(alice.token(), None) | {"Sec-WebSocket-Protocol": JSON})
        raw.send(request.removesuffix(b"\r\n"))
        answer = trickle(raw, cycle(b"x: y\r\n"))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert raw.ended()


@pytest.mark.parametrize("first", [b"", GET])
def test_headers_without_end_are_refused(first: bytes, impatient: Server) -> None:
    """In the first request of a connection, and in the second."""
    with RawSocket(impatient.url) as raw:
        if first:
            raw.send(first)
            assert raw.response()[0] == 401
        raw.send(b"GET /v1/ws HTTP/1.1\r\n")
        answer = trickle(raw, cycle(b"x: y\r\n"))
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("said", [b"", GET])
def test_a_socket_on_which_nothing_comes_is_closed(said: bytes, impatient: Server) -> None:
    """At once after it was opened, or after a first request."""
    with RawSocket(impatient.url) as raw:
        raw.send(said)
        assert raw.ended()


def test_who_is_refused_reads_why_whatever_they_go_on_to_send(server: Server) -> None:
    """A socket that was closed by now would be reset by what still comes, and the answer on it lost."""
    with RawSocket(server.url) as raw:
        raw.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        wait_for(raw.answered)
        for _ in range(100):
            raw.send(bytes(65536))
        status, _ = raw.response()
        assert status == 413
        # A reset would raise.
        assert raw.socket.recv(1) == b""


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nx", 413),
        (GET, 401),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
    ids=["bad", "too large", "unauthorized", "good"],
)
def test_who_has_said_all_and_closed_that_side_is_answered(said: bytes, status: int, server: Server) -> None:
    for _ in range(10):
        with RawSocket(server.url) as raw:
            raw.send(said)
            raw.socket.shutdown(socket.SHUT_WR)
            assert raw.response()[0] == status
            assert raw.socket.recv(1) == b""


def test_many_that_trickle_do_not_keep_others_out(impatient: Server, person: Callable[..., Person]) -> None:
    sockets = [RawSocket(impatient.url) for _ in range(100)]
    try:
        for raw in sockets:
            raw.send(b"GET /v1/ws HTTP/1.1\r\nHost: local")
        with person("alice", impatient).connect() as client:
            assert client.ask("ping")["type"] == "ok"
        assert all(raw.ended() for raw in sockets)
    finally:
        for raw in sockets:
            raw.socket.close()
