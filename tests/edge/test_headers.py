"""What every answer over HTTP has, and what none has: whatever was asked for, and whichever part answered."""

import pytest
from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from chatd.edge.guarded import GuardedProtocol
from chatd.edge.headers import COMMON
from chatd.edge.metrics import Metrics, MetricsSite
from chatd.edge.operator import OperatorSite
from tests.edge.test_upgrade import HANDSHAKE, Successors
from tests.kit.tls import MemoryClient
from tests.kit.visitor import Answer, Visitor, World, parsed, request, settings

HSTS = "Strict-Transport-Security"
BANNERS = (b"Twisted", b"Autobahn", b"Python", b"Server:", b"X-Powered-By")


class Guarded(GuardedProtocol):
    """What chatd's connections derive from. The transport in memory minds what a socket does not."""

    def onOpen(self) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


class Factory(WebSocketServerFactory):
    """Makes them, and takes every handshake that is one."""

    protocol = Guarded
    shake_hands = Successors.shake_hands


def make_world(**sections: object) -> World:
    clock = Clock()
    websockets = Factory(server="", reactor=clock)
    websockets.setProtocolOptions(versions=[13], webStatus=False)
    return World(websockets=websockets, clock=clock, settings=settings(**sections))


ANSWERS: dict[str, tuple[int, bytes]] = {
    "a document": (200, request("GET", "/")),
    "a description": (200, request("GET", "/v1/openapi.json")),
    "health": (200, request("HEAD", "/healthz")),
    "a command": (200, request("GET", "/v1/ping")),
    "what may be asked": (204, request("OPTIONS", "/v1/ping")),
    "a bad field": (400, request("POST", "/v1/sync", {"limit": "many"})),
    "a bad body": (400, request("POST", "/v1/sync", b"{")),
    "no request": (400, b"nonsense\r\n\r\n"),
    "a TLS handshake": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a bad length": (400, request("POST", "/v1/sync", Content_Length="+2")),
    "a bad chunk": (400, request("POST", "/v1/sync", Transfer_Encoding="chunked") + b"0x2\r\n{}\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "no token": (401, request("GET", "/v1/ping", Authorization="")),
    "another origin": (403, request("GET", "/v1/ping", Origin="https://evil.example")),
    "nothing here": (404, request("GET", "/favicon.ico")),
    "no command": (404, request("GET", "/v1/nothing")),
    "a star": (404, request("OPTIONS", "*")),
    "no method of a command": (405, request("DELETE", "/v1/ping")),
    "no method of a document": (405, request("TRACE", "/")),
    "no method at all": (405, request("BREW", "/v1/ping")),
    "a large body": (413, request("POST", "/v1/sync", Content_Length="99999999")),
    "a large head": (413, b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n"),
    "a form": (415, request("POST", "/v1/sync", b"a=b", Content_Type="application/x-www-form-urlencoded")),
    "no handshake": (426, request("GET", "/v1/ws")),
    "an old handshake": (426, request("GET", "/v1/ws", **(HANDSHAKE | {"Sec_WebSocket_Version": "8"}))),
    "a handshake without a key": (400, request("GET", "/v1/ws", **(HANDSHAKE | {"Sec_WebSocket_Key": ""}))),
    "a handshake with a short key": (400, request("GET", "/v1/ws", **(HANDSHAKE | {"Sec_WebSocket_Key": "Zm9v"}))),
    "a handshake with a bad host": (400, request("GET", "/v1/ws", **HANDSHAKE, Host="x:y<script>")),
    "a handshake with two keys": (
        400,
        request("GET", "/v1/ws", **HANDSHAKE, X="1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ),
}


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def check(answer: Answer, raw: bytes) -> None:
    """What holds for every answer, in TLS or not."""
    for name, value in COMMON:
        assert answer.headers.get_all(name.decode()) == [value.decode()], name
    assert answer.headers["Set-Cookie"] is None
    assert [banner for banner in BANNERS if banner in raw.partition(b"\r\n\r\n")[0]] == []
    assert b"<" not in raw
    if answer.status >= 400:
        assert answer.code


@pytest.mark.parametrize("what", ANSWERS)
def test_every_answer_has_them_and_names_no_software(what: str, world: World) -> None:
    status, asked = ANSWERS[what]
    visitor = world.visitor()
    visitor.send(asked)
    raw = visitor.received
    answer = visitor.answer("HEAD" if what == "health" else "GET")
    assert answer.status == status
    check(answer, raw)
    assert answer.headers[HSTS] is None


def test_so_has_the_one_to_what_nobody_has_foreseen() -> None:
    world = make_world()
    world.site.resource = None
    visitor = world.visitor()
    visitor.send(request("GET", "/"))
    raw = visitor.received
    answer = visitor.answer()
    assert answer.code == "internal"
    check(answer, raw)


def test_so_have_those_to_who_comes_too_late_or_finds_no_room() -> None:
    world = make_world(limits={"max_connections_per_address": 1})
    slow = world.visitor()
    slow.send(b"GET / HTTP/1.1\r\n")
    crowded = world.visitor()
    world.clock.advance(60)
    for visitor, status in ((slow, 408), (crowded, 429)):
        raw = visitor.received
        answer = visitor.answer()
        assert answer.status == status
        check(answer, raw)


@pytest.mark.parametrize("asked", [request("GET", "/"), b"nonsense\r\n\r\n"], ids=["an answer", "a refusal"])
def test_browsers_that_came_by_tls_are_told_to_come_back_by_tls_alone(asked: bytes) -> None:
    client = MemoryClient(make_world().site, secure=True)
    client.send(asked)
    assert parsed(client.data)[0].headers[HSTS] == "max-age=31536000"
    behind = make_world(behind_proxy=True, tls={"hsts_seconds": 60.5}).visitor()
    behind.send(asked)
    assert behind.answer().headers[HSTS] == "max-age=60"
    silent = make_world(behind_proxy=True, tls={"hsts_seconds": 0}).visitor()
    silent.send(asked)
    assert silent.answer().headers[HSTS] is None


def test_so_are_those_who_are_turned_away() -> None:
    busy = make_world(behind_proxy=True, tls={"hsts_seconds": 60}, rates={"connects": "1/s burst 1"})
    busy.visitor()
    turned_away = busy.visitor()
    raw = turned_away.received
    answer = turned_away.answer()
    assert (answer.code, answer.headers[HSTS]) == ("overloaded", "max-age=60")
    check(answer, raw)


def test_no_part_of_chatd_is_ever_shown_a_cookie(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/ws", **HANDSHAKE, Cookie="session=stolen", Sec_WebSocket_Protocol="chatd.v1.json"))
    assert visitor.received.startswith(b"HTTP/1.1 101 ")
    assert "cookie" not in visitor.transport.protocol.http_headers
    assert b"Server" not in visitor.received


# -- the ports beside chatd's own --


class Failing(Resource):
    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        raise RuntimeError("a defect")


def operators_answer(site: OperatorSite, asked: bytes) -> tuple[Answer, bytes]:
    visitor = Visitor(site)
    visitor.send(asked)
    raw = visitor.received
    return visitor.answer(asked.split()[0].decode()), raw


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (200, request("GET", "/metrics")),
        (200, request("HEAD", "/metrics")),
        (405, request("POST", "/metrics", {})),
        (405, request("OPTIONS", "*")),
        (405, request("BREW", "/metrics")),
    ],
)
def test_so_it_is_on_the_port_for_metrics(status: int, asked: bytes) -> None:
    answer, raw = operators_answer(MetricsSite(Metrics([]), Clock()), asked)
    assert answer.status == status
    check(answer, raw)


def test_what_fails_there_is_logged_and_told_without_a_page_of_twisteds(logged: list[dict[str, object]]) -> None:
    answer, raw = operators_answer(OperatorSite(Failing(), Clock()), request("GET", "/metrics"))
    assert (answer.status, answer.code) == (500, "internal")
    check(answer, raw)
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [RuntimeError]


def test_a_refused_handshake_quotes_nothing_of_it(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/ws", **HANDSHAKE, Host="evil:quoted"))
    assert b"quoted" not in visitor.received
    assert (visitor.closed, visitor.answer().code) == (True, "malformed")
