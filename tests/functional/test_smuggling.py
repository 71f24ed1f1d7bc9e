"""Requests that a proxy in front could read otherwise, to the server that runs: none carries another one in.

Behind each stands one that would send a message. Where one reader sees its bytes as a body and the other as a request,
whoever comes next on the proxy's connection speaks for somebody else (RFC 9112, section 11.2). So what can be read in
two ways is refused with 400 and the connection ends there.
"""

import socket
from collections.abc import Iterator

import pytest

from tests.kit.people import Person
from tests.kit.raw import RawSocket
from tests.kit.server import Sections, Server

NUL = "\0"
CHUNKED = "Transfer-Encoding: chunked"
TWO = "{}"
IN_CHUNKS = "2\r\n{}\r\n0\r\n\r\n"

HEADS: dict[str, tuple[str, str]] = {
    "CL.TE": (f"Content-Length: 13\r\n{CHUNKED}", IN_CHUNKS),
    "TE.CL": (f"{CHUNKED}\r\nContent-Length: 2", IN_CHUNKS),
    "two lengths that agree": ("Content-Length: 2\r\nContent-Length: 2", TWO),
    "two lengths that differ": ("Content-Length: 2\r\nContent-Length: 0", TWO),
    "two lengths in one": ("Content-Length: 2, 2", TWO),
    "a sign": ("Content-Length: +2", TWO),
    "a negative length": ("Content-Length: -2", TWO),
    "hexadecimal": ("Content-Length: 0x2", TWO),
    "an underscore": ("Content-Length: 0_2", TWO),
    "Arabic digits": ("Content-Length: ٢", TWO),
    "no length": ("Content-Length:", TWO),
    "a fraction": ("Content-Length: 2.0", TWO),
    "more digits than an integer": ("Content-Length: " + "9" * 5000, TWO),
    "another coding": ("Transfer-Encoding: gzip, chunked", IN_CHUNKS),
    "identity": ("Transfer-Encoding: identity\r\nContent-Length: 2", TWO),
    "chunked twice": (f"{CHUNKED}, chunked", IN_CHUNKS),
    "chunked in two headers": (f"{CHUNKED}\r\n{CHUNKED}", IN_CHUNKS),
    "chunked and not last": (f"{CHUNKED}, identity", IN_CHUNKS),
    "chunked with a letter before": ("Transfer-Encoding: xchunked", IN_CHUNKS),
    "chunked with a tab behind": (f"{CHUNKED}\x0b", IN_CHUNKS),
    "chunked in quotes": ('Transfer-Encoding: "chunked"', IN_CHUNKS),
    "a space before the colon": ("Transfer-Encoding : chunked", IN_CHUNKS),
    "a length with a space before the colon": ("Content-Length : 2", TWO),
    "a folded header": ("X: a\r\n Transfer-Encoding: chunked", IN_CHUNKS),
    "a folded length": ("Content-Length:\r\n 2", TWO),
    "a bare LF within a header": (f"X: a\n{CHUNKED}", IN_CHUNKS),
    "a bare CR within a header": (f"X: a\r{CHUNKED}", IN_CHUNKS),
    "NUL in a header": (f"X: a{NUL}b\r\nContent-Length: 2", TWO),
    "NUL in a name": (f"X{NUL}: a\r\nContent-Length: 2", TWO),
    "no name": (": chunked\r\nContent-Length: 2", TWO),
    "no colon": ("Transfer-Encoding chunked\r\nContent-Length: 2", TWO),
    "another host": ("Host: other\r\nContent-Length: 2", TWO),
    "a chunk in 0x": (CHUNKED, "0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk with a sign": (CHUNKED, "+2\r\n{}\r\n0\r\n\r\n"),
    "a chunk with an underscore": (CHUNKED, "0_2\r\n{}\r\n0\r\n\r\n"),
    "a chunk with a space": (CHUNKED, "2 \r\n{}\r\n0\r\n\r\n"),
    "a chunk of no size": (CHUNKED, "\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer": (CHUNKED, "2\r\n{}x\r\n0\r\n\r\n"),
    "NUL in a chunk's extension": (CHUNKED, f"2;a={NUL}\r\n{{}}\r\n0\r\n\r\n"),
    "a bare LF in a chunk's extension": (CHUNKED, "2;a\n{}\r\n0\r\n\r\n"),
}
"""By what is wrong with it: what stands in the head, and the body."""

BEYOND = {"a huge chunk": "ffffffffffffffff\r\n", "a chunk of many digits": "0" * 5000 + "2\r\n{}\r\n0\r\n\r\n"}
"""Chunks that announce more than there may be: they are waited for, or refused, and count for no request."""

LINES = [
    "POST /v1/sync",
    "POST /v1/sync HTTP/1.2",
    "POST /v1/sync HTTP/2.0",
    "POST  /v1/sync HTTP/1.1",
    "POST /v1/sync HTTP/1.1 HTTP/1.1",
    f"POST /v1/sync{NUL} HTTP/1.1",
    f"PO{NUL}ST /v1/sync HTTP/1.1",
    "POST /v1/sync\tHTTP/1.1",
    " POST /v1/sync HTTP/1.1",
]
"""First lines that are none."""


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"timeouts": {"close": 1}}


@pytest.fixture
def smuggled(alice: Person) -> bytes:
    """What nobody is to take for a request of alice's."""
    body = b'{"client_id":"smuggled","to":"bob","text":"gotcha"}'
    head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice.token()}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def first(alice: Person, framing: str, body: str, line: str = "POST /v1/sync HTTP/1.1") -> bytes:
    head = f"Host: x\r\nAuthorization: Bearer {alice.token()}\r\nContent-Type: application/json"
    return f"{line}\r\n{head}\r\n{framing}\r\n\r\n{body}".encode()


def statuses(server: Server, data: bytes, *, ending: bool = False) -> list[int]:
    """Of the answers that come before the server ends the connection; it hears the end of ours if ``ending``."""
    with RawSocket(server.url) as raw:
        raw.send(data)
        if ending:
            raw.socket.shutdown(socket.SHUT_WR)
        return list(_answers(raw))


def _answers(raw: RawSocket) -> Iterator[int]:
    try:
        while True:
            yield raw.response()[0]
    except (EOFError, ConnectionResetError):
        return


def nothing_was_sent(alice: Person) -> bool:
    return alice.http().get("/v1/conversations").body["conversations"] == []


@pytest.mark.parametrize("what", HEADS)
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    what: str, server: Server, alice: Person, smuggled: bytes
) -> None:
    assert statuses(server, first(alice, *HEADS[what]) + smuggled) == [400]
    assert nothing_was_sent(alice)


@pytest.mark.parametrize("what", BEYOND)
def test_what_stands_in_an_endless_chunk_is_no_request(
    what: str, server: Server, alice: Person, smuggled: bytes
) -> None:
    assert set(statuses(server, first(alice, CHUNKED, BEYOND[what]) + smuggled, ending=True)) <= {400, 413}
    assert nothing_was_sent(alice)


@pytest.mark.parametrize("line", LINES)
def test_a_first_line_that_is_none_is_refused(line: str, server: Server, alice: Person, smuggled: bytes) -> None:
    assert statuses(server, first(alice, "Content-Length: 2", TWO, line) + smuggled) == [400]
    assert nothing_was_sent(alice)


@pytest.mark.parametrize("target", ["http://other/v1/sync", "https://127.0.0.1/v1/sync", "//v1/sync", "/v1//sync", "*"])
def test_a_target_that_a_proxy_might_route_otherwise_is_nothing_here(
    target: str, server: Server, alice: Person
) -> None:
    request = first(alice, "Content-Length: 2\r\nConnection: close", TWO, f"POST {target} HTTP/1.1")
    assert statuses(server, request) == [404]


def test_well_framed_requests_behind_each_other_are_read_one_by_one(
    server: Server, alice: Person, smuggled: bytes
) -> None:
    """Lest the others be refused for anything else: a length, chunks with extensions and trailers, and a third."""
    chunks = "1;a=b\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n"
    whole = first(alice, "Content-Length: 2", TWO) + first(alice, CHUNKED, chunks) + smuggled
    with RawSocket(server.url) as raw:
        raw.send(whole)
        assert [raw.response()[0] for _ in range(3)] == [200, 200, 200]
    assert not nothing_was_sent(alice)
