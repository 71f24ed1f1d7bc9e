"""What one HTTP connection may send, and how long it may take over it."""

import pytest
from twisted.logger import LogEvent, LogLevel

from chatd.edge.channel import MAX_HEADERS
from chatd.wire.commands import Done
from tests.kit.visitor import Visitor, WaitingRouter, World, parsed, request, settings

TIMEOUTS = {"handshake": 10, "http_body": 7, "http_idle": 20, "close": 5}
LIMITS = {"max_body_bytes": 2000, "max_header_bytes": 4096}
PING = request("GET", "/v1/ping")


@pytest.fixture
def world() -> World:
    return World(settings=settings(timeouts=TIMEOUTS, limits=LIMITS))


@pytest.fixture
def slow(world: World) -> WaitingRouter:
    """The router of ``slow_world``."""
    return WaitingRouter()


@pytest.fixture
def slow_world(slow: WaitingRouter) -> World:
    return World(router=slow, settings=settings(timeouts=TIMEOUTS, limits=LIMITS))


def trickled(world: World, visitor: Visitor, data: bytes, seconds: float) -> None:
    """Send a byte a second until the server closes, for so many seconds at most."""
    for number, byte in enumerate(data):
        if visitor.closed or number >= seconds:
            return
        visitor.send(bytes([byte]))
        world.clock.advance(1)


# -- deadlines --


def test_a_socket_that_says_nothing_is_closed_in_silence(world: World) -> None:
    visitor = world.visitor()
    world.clock.advance(9)
    assert not visitor.closed
    world.clock.advance(1)
    assert (visitor.closed, visitor.received) == (True, b"")


def test_one_byte_at_a_time_is_served_within_the_time(world: World) -> None:
    visitor = world.visitor()
    for byte in PING:
        visitor.send(bytes([byte]))
        world.clock.advance(9 / len(PING))
    assert visitor.answer().status == 200


def test_bytes_do_not_stretch_the_time_for_a_head(world: World) -> None:
    visitor = world.visitor()
    trickled(world, visitor, PING, 11)
    assert (visitor.closed, visitor.answer().code) == (True, "request_timeout")


def test_time_spent_in_silence_counts_for_the_first_head(world: World) -> None:
    visitor = world.visitor()
    world.clock.advance(9)
    visitor.send(PING[:5])
    world.clock.advance(1)
    assert visitor.answer().code == "request_timeout"


def test_bytes_do_not_stretch_the_time_for_a_body(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("POST", "/v1/messages", Content_Type="application/json", Content_Length="100"))
    trickled(world, visitor, b"x" * 100, 8)
    assert (visitor.closed, visitor.answer().code) == (True, "request_timeout")


def test_nor_for_a_chunked_body(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("POST", "/v1/messages", Transfer_Encoding="chunked"))
    trickled(world, visitor, b"1\r\nx\r\n" * 100, 8)
    assert visitor.answer().code == "request_timeout"


def test_a_body_has_its_own_time(world: World) -> None:
    visitor = world.visitor()
    world.clock.advance(9)
    head, body = request("POST", "/v1/sync", {"cursors": {}}).split(b"\r\n\r\n")
    visitor.send(head + b"\r\n\r\n")
    world.clock.advance(6)
    visitor.send(body)
    assert visitor.answer().status == 200


def test_an_idle_connection_is_closed_in_silence(world: World) -> None:
    visitor = world.visitor()
    visitor.send(PING)
    assert visitor.answer().status == 200
    world.clock.advance(19)
    assert not visitor.closed
    world.clock.advance(1)
    assert (visitor.closed, visitor.received) == (True, b"")


@pytest.mark.parametrize("beginning", [b"G", b"GET /v1/ping HTTP/1.1\r\n", b"GET /v1/ping HTTP/1.1\r\nHost: x"])
def test_each_further_head_has_its_time(beginning: bytes, world: World) -> None:
    visitor = world.visitor()
    visitor.ask("GET", "/v1/ping")
    world.clock.advance(19)
    visitor.send(beginning)
    world.clock.advance(9)
    assert not visitor.closed
    world.clock.advance(1)
    assert (visitor.closed, visitor.answer().code) == (True, "request_timeout")


def test_the_beginning_of_a_head_behind_another_request_has_its_time_too(world: World) -> None:
    visitor = world.visitor()
    visitor.send(PING + b"GET /v1/p")
    assert visitor.answer().status == 200
    world.clock.advance(10)
    assert visitor.answer().code == "request_timeout"


def test_an_answer_may_take_its_time(slow_world: World, slow: WaitingRouter) -> None:
    visitor = slow_world.visitor()
    visitor.send(PING)
    slow_world.clock.advance(1000)
    assert (visitor.closed, visitor.received) == (False, b"")
    slow.answers[0].callback(Done())
    assert visitor.answer().status == 200


def test_a_client_that_has_closed_its_side_is_answered_when_there_is_an_answer(
    slow_world: World, slow: WaitingRouter
) -> None:
    visitor = slow_world.visitor()
    visitor.send(PING)
    visitor.channel.readConnectionLost()
    assert (visitor.closed, visitor.received) == (False, b"")
    slow.answers[0].callback(Done())
    answer = visitor.answer()
    assert (answer.status, answer.headers["Connection"], visitor.closed) == (200, "close", True)


@pytest.mark.parametrize("said", [b"", PING[:-2], PING], ids=["nothing", "half a request", "all"])
def test_one_that_waits_for_no_answer_is_closed(said: bytes, world: World) -> None:
    visitor = world.visitor()
    visitor.send(said)
    visitor.channel.readConnectionLost()
    assert visitor.transport.disconnecting


def test_a_client_that_does_not_let_itself_be_closed_is_cut_off(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"nonsense\r\n\r\n")
    # What it sends meanwhile is read, so that it can read the answer, and comes to nothing.
    assert (visitor.transport.half_closed, visitor.transport.disconnecting) == (True, False)
    visitor.transport.clear()
    visitor.send(PING)
    world.clock.advance(4)
    assert (visitor.received, visitor.aborted) == (b"", False)
    world.clock.advance(1)
    assert visitor.aborted


def test_a_client_that_does_not_read_its_last_answer_is_cut_off(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("GET", "/v1/ping", Connection="close"))
    assert (visitor.answer().status, visitor.closed) == (200, True)
    world.clock.advance(19)
    assert not visitor.aborted
    world.clock.advance(1)
    assert visitor.aborted


@pytest.mark.parametrize("data", [b"", PING, PING[:9], b"nonsense\r\n", request("GET", "/v1/ping", Connection="close")])
def test_nothing_is_left_behind_by_a_connection_that_has_gone(data: bytes, world: World) -> None:
    visitor = world.visitor()
    if data:
        visitor.send(data)
    visitor.hang_up()
    assert world.clock.getDelayedCalls() == []
    assert (world.site.channels, world.admission.connections, world.admission.unauthenticated) == (set(), 0, 0)


def test_what_comes_after_a_refusal_is_not_looked_at(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"nonsense\r\n\r\n")
    visitor.transport.clear()
    visitor.send(PING)
    assert (visitor.received, world.router.carried_out) == (b"", [])


# -- sizes --


def test_a_body_up_to_the_limit_is_taken(world: World) -> None:
    answer = world.ask("POST", "/v1/sync", b"{}".ljust(2000))
    assert answer.status == 200


def test_a_body_that_announces_more_is_refused_before_it_comes(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("POST", "/v1/sync", Content_Length="2001", Expect="100-continue"))
    assert (visitor.closed, visitor.answer().code) == (True, "too_large")


def test_a_chunked_body_that_grows_above_the_limit_is_refused_at_once(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("POST", "/v1/sync", Transfer_Encoding="chunked"))
    for _ in range(4):
        visitor.send(b"1f4\r\n" + b" " * 500 + b"\r\n")
    assert visitor.received == b""
    visitor.send(b"1\r\n \r\n" * 2 + b"0\r\n\r\n" + PING)
    assert (visitor.closed, visitor.answer().code) == (True, "too_large")
    assert world.router.carried_out == []


def test_one_huge_chunk_is_refused_as_it_comes(world: World) -> None:
    visitor = world.visitor()
    visitor.send(request("POST", "/v1/sync", Transfer_Encoding="chunked") + b"ffffffff\r\n" + b" " * 2001)
    assert visitor.answer().code == "too_large"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/ping?" + b"x" * 4096 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/ping HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 4096 + b"\r\n\r\n",
        b"GET /v1/ping HTTP/1.1\r\n" + b"A: xxxxxxxxxx\r\n" * 400,
        b"x" * 5000,
    ],
)
def test_a_head_above_its_limit_is_refused(head: bytes, world: World) -> None:
    visitor = world.visitor()
    visitor.send(head)
    assert visitor.closed
    assert visitor.answer().code in ("too_large", "malformed")


def test_headers_above_their_number_are_refused(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n" + b"A: x\r\n" * MAX_HEADERS + b"\r\n")
    assert (visitor.closed, visitor.answer().code) == (True, "malformed")


def test_requests_that_wait_for_an_earlier_answer_are_not_read_without_end(
    slow_world: World, slow: WaitingRouter
) -> None:
    visitor = slow_world.visitor()
    visitor.send(PING)
    for _ in range(1000):
        if visitor.transport.producerState == "paused":
            break
        visitor.send(PING)
    assert visitor.transport.producerState == "paused"
    assert len(slow.carried_out) == 1


def test_pipelined_requests_are_answered_in_their_order(slow_world: World, slow: WaitingRouter) -> None:
    visitor = slow_world.visitor()
    visitor.send(PING + request("GET", "/v1/nothing") + PING)
    slow.answers[0].callback(Done())
    slow.answers[1].callback(Done())
    first, rest = parsed(visitor.received)
    second, rest = parsed(rest)
    third, rest = parsed(rest)
    assert ([first.status, second.status, third.status], rest) == ([200, 404, 200], b"")


def test_who_pipelines_and_does_not_read_is_answered_no_further_until_it_reads(world: World) -> None:
    visitor = world.visitor()
    visitor.transport.producer.pauseProducing()
    visitor.send(request("GET", "/v1/openapi.json") * 50)
    assert visitor.received.count(b"HTTP/1.1 200") == 1
    visitor.transport.producer.resumeProducing()
    assert visitor.received.count(b"HTTP/1.1 200") == 50


# -- framing: what a proxy in front might read differently (RFC 9112, section 11.2) --


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 2",
        "Content-Length: +2",
        "Content-Length: -2",
        "Content-Length: 0x2",
        "Content-Length: 2 2",
        "Content-Length: ",
        "Content-Length: ٢",
        "Content-Length: 2_0",
        "Content-Length: " + "9" * 3000,
        "Content-Length: " + "9" * 5000,
        "Transfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nContent-Length: 2",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length : 2",
        " Content-Length: 2",
        "Content-Length: 2\nX: y",
        "Content-Length: 2\rX: y",
        "X: a\x00b",
        "no colon",
        ": no name",
        "Host: other.example.com",
    ],
)
def test_a_request_of_doubtful_length_is_refused_and_nothing_behind_it_is_read(framing: str, world: World) -> None:
    world = World(settings=settings(limits={"max_header_bytes": 8192}))
    visitor = world.visitor()
    head = f"POST /v1/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-of-eve\r\n{framing}\r\n\r\n"
    visitor.send(head.encode() + b"{}" + PING)
    answer, rest = parsed(visitor.received)
    assert answer.status in (400, 413), answer
    assert (visitor.closed, rest, world.router.carried_out) == (True, b"", [])


@pytest.mark.parametrize("size", [b"0x2", b"+2", b"-2", b"2 ", b" 2", b"", b"2_0", b"g", b"2;a=\x00"])
def test_a_chunk_of_doubtful_length_is_refused(size: bytes, world: World) -> None:
    visitor = world.visitor()
    chunked = request("POST", "/v1/sync", Content_Type="application/json", Transfer_Encoding="chunked")
    visitor.send(chunked + size + b"\r\n{}\r\n0\r\n\r\n" + PING)
    answer, rest = parsed(visitor.received)
    assert (answer.status, visitor.closed, rest, world.router.carried_out) == (400, True, b"", [])


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/ping",
        b"GET /v1/ping HTTP/2.0",
        b"GET  /v1/ping HTTP/1.1",
        b"G\x00T /v1/ping HTTP/1.1",
        b"GET / x HTTP/1.1",
    ],
)
def test_a_first_line_that_is_none_is_refused(line: bytes, world: World) -> None:
    visitor = world.visitor()
    visitor.send(line + b"\r\nHost: x\r\n\r\n")
    assert (visitor.closed, visitor.answer().code) == (True, "malformed")


def test_http_1_1_without_a_host_is_refused(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert visitor.answer().code == "malformed"


def test_http_1_0_is_answered_and_closed(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (visitor.answer().status, visitor.closed) == (200, True)


def test_http_1_0_has_no_chunks(world: World) -> None:
    visitor = world.visitor()
    visitor.send(b"POST /v1/sync HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert visitor.answer().code == "malformed"


def test_a_length_of_thousands_of_digits_leaves_no_traceback(logged: list[LogEvent]) -> None:
    visitor = World().visitor()
    visitor.send(b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
    visitor.hang_up()
    assert [event for event in logged if event["log_level"] >= LogLevel.error] == []
