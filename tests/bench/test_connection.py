"""One connection of the load generator."""

import pytest

from bench.errors import BenchError
from bench.frames import PONG, frame
from bench.handshake import check_response, upgrade_request
from tests.bench.line import Line, server_frame

# Section 4.2.2's computation, for a key of sixteen zero bytes.
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"


def test_what_comes_with_the_end_of_the_handshake_is_not_lost(lines: list[Line]) -> None:
    line = lines[0]
    line.server.sendall(ACCEPTED[:20])
    assert not line.client.handshake()
    line.server.sendall(ACCEPTED[20:] + server_frame(b"hello"))
    assert line.client.handshake()
    batch = line.client.waiting()
    assert [batch.data[start:stop] for start, stop in batch.spans] == [b"hello"]


def test_a_ping_is_answered(lines: list[Line]) -> None:
    line = lines[0]
    line.server.sendall(server_frame(b"beat", 0x89))
    assert line.client.receive().spans == []
    assert line.server.recv(100) == frame(b"beat", PONG)


def test_a_close_tells_its_code_and_reason(lines: list[Line]) -> None:
    line = lines[0]
    line.server.sendall(server_frame((4001).to_bytes(2) + b"read faster", 0x88))
    with pytest.raises(BenchError, match="4001 read faster"):
        line.client.receive()


def test_a_lost_connection_is_an_error(lines: list[Line]) -> None:
    lines[0].server.close()
    with pytest.raises(BenchError, match="closed"):
        lines[0].client.receive()


def test_a_server_that_does_not_read_is_an_error(lines: list[Line]) -> None:
    with pytest.raises(BenchError, match="does not read"):
        lines[0].client.send(bytes(2**25))


def test_the_request_carries_subprotocol_and_token() -> None:
    request = upgrade_request(8443, "/v1/ws", subprotocol="chatd.v1.json", token="abc")
    assert request.startswith(b"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n")
    assert b"\r\nSec-WebSocket-Protocol: chatd.v1.json\r\n" in request
    assert request.endswith(b"\r\nAuthorization: Bearer abc\r\n\r\n")
    assert b"Authorization" not in upgrade_request(8443, "/")


@pytest.mark.parametrize("head", [b"HTTP/1.1 401 Unauthorized\r\n", ACCEPTED.replace(b"ICX+", b"AAAA")])
def test_a_refused_upgrade_is_an_error(head: bytes) -> None:
    check_response(ACCEPTED)
    with pytest.raises(BenchError, match=head.split(b"\r\n")[0].decode()):
        check_response(head)
