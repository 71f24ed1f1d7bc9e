"""Frames that break the rules end the connection with the code for it, and cost nobody else anything."""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat

import pytest

from chatd.settings.limits import Limits
from tests.kit.clients import JSON, MSGPACK
from tests.kit.people import Person
from tests.kit.raw import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawSocket, close_payload, frame
from tests.kit.server import Sections, Server

MEGABYTE = 1 << 20
GROWTH = 8 * MEGABYTE
MAX_MESSAGE = Limits().max_message_bytes
PING_COMMAND = b'{"id":7,"type":"ping"}'
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}


@pytest.fixture(scope="module")
def settings() -> Sections:
    return {"limits": {"compression": True}, "timeouts": {"close": 3}}


@pytest.fixture
def raw(alice: Person) -> Iterator[RawSocket]:
    """An authenticated connection, from which ``hello`` was read."""
    with alice.raw() as raw:
        raw.message()
        yield raw


@pytest.fixture(autouse=True)
def bystander(bob: Person) -> Iterator[None]:
    """Somebody else, who notices nothing."""
    with bob.connect() as client:
        yield
        assert client.ask("ping")["type"] == "ok"


def id_of(name: str, content: bytes) -> object:
    return pytest.param(content, id=name)


@pytest.mark.parametrize(
    "frames",
    [
        *(id_of(f"opcode {n}", frame(n, b"x")) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        *(id_of(f"reserved bits {n}", frame(TEXT, PING_COMMAND, rsv=n)) for n in (1, 2, 4)),
        id_of("reserved bit of a ping", frame(PING, b"x", rsv=4)),
        id_of("unmasked", frame(TEXT, PING_COMMAND, masked=False)),
        id_of("unmasked ping", frame(PING, b"", masked=False)),
        id_of("fragmented ping", frame(PING, b"x", fin=False)),
        id_of("fragmented close", frame(CLOSE, close_payload(1000), fin=False)),
        id_of("ping of 126 bytes", frame(PING, bytes(126))),
        id_of("close of 126 bytes", frame(CLOSE, close_payload(1000, b"x" * 124))),
        id_of("continuation of nothing", frame(CONTINUATION, b"x")),
        id_of("final continuation of nothing", frame(CONTINUATION, b"x", fin=False)),
        id_of("a message within a message", frame(TEXT, b'{"id"', fin=False) + frame(TEXT, PING_COMMAND)),
        id_of("close of one byte", frame(CLOSE, b"\x03")),
        *(
            id_of(f"close code {code}", frame(CLOSE, close_payload(code)))
            for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        id_of("length of 125 in two bytes", frame(TEXT, bytes(125), length_bytes=2)),
        id_of("length of 65535 in eight bytes", frame(TEXT, bytes(65535), length_bytes=8)),
        id_of("length with the highest bit", frame(TEXT, declared=1 << 63, length_bytes=8)),
    ],
)
def test_a_breach_of_the_protocol_is_answered_with_1002(frames: bytes, raw: RawSocket) -> None:
    raw.send(frames)
    raw.assert_closed(1002)


@pytest.mark.parametrize(
    "frames",
    [
        id_of("lone byte", frame(TEXT, b'"\xff"')),
        id_of("overlong", frame(TEXT, b"\xc0\xaf")),
        id_of("surrogate", frame(TEXT, b'"\xed\xa0\x80"')),
        id_of("beyond Unicode", frame(TEXT, b'"\xf4\x90\x80\x80"')),
        id_of("cut short", frame(TEXT, b'"\xf0\x9f\x98')),
        id_of("in a fragment", frame(TEXT, b'"\xce', fin=False) + frame(CONTINUATION, b"\xce")),
        id_of("in a reason", frame(CLOSE, close_payload(1000, b"\xff"))),
    ],
)
def test_what_is_no_utf_8_is_answered_with_1007(frames: bytes, raw: RawSocket) -> None:
    raw.send(frames)
    raw.assert_closed(1007)


@pytest.mark.parametrize(("subprotocol", "opcode"), [(JSON, BINARY), (MSGPACK, TEXT)])
def test_frames_of_the_other_kind_are_answered_with_1003(
    subprotocol: str, opcode: int, server: Server, alice: Person
) -> None:
    with RawSocket.upgraded(server.url, alice.token(), subprotocol=subprotocol) as raw:
        raw.send_frame(opcode, PING_COMMAND)
        raw.assert_closed(1003)


@pytest.mark.parametrize(
    "frames",
    [
        id_of("a frame", frame(TEXT, bytes(MAX_MESSAGE + 1))),
        id_of("a message", frame(TEXT, b" " * MAX_MESSAGE, fin=False) + frame(CONTINUATION, b" ")),
        id_of("a declared length", frame(TEXT, declared=1 << 40)),
        id_of("the greatest length there is", frame(TEXT, declared=(1 << 63) - 1)),
    ],
)
def test_what_is_too_big_is_answered_with_1009(frames: bytes, server: Server, raw: RawSocket) -> None:
    with server.bounded_memory(growth=GROWTH):
        raw.send(frames)
        raw.assert_closed(1009)


def test_a_message_of_the_greatest_size_is_taken(raw: RawSocket) -> None:
    raw.send_frame(TEXT, PING_COMMAND.ljust(MAX_MESSAGE))
    assert raw.message()["type"] == "ok"


def test_fragments_without_end_are_answered_with_1009_and_take_no_memory(server: Server, raw: RawSocket) -> None:
    with server.bounded_memory(growth=GROWTH):
        raw.send(frame(TEXT, b" ", fin=False))
        raw.send_until_answered(frame(CONTINUATION, b" " * 1000, fin=False) * 10, times=200)
        assert raw.close_code() == 1009


def test_empty_fragments_without_end_are_answered_with_1008_and_take_no_memory(server: Server, raw: RawSocket) -> None:
    with server.bounded_memory(growth=GROWTH):
        raw.send(frame(TEXT, PING_COMMAND, fin=False))
        raw.send_until_answered(frame(CONTINUATION, fin=False) * 1000, times=500)
        assert raw.close_code() == 1008


def test_a_message_may_come_in_thousands_of_fragments(raw: RawSocket) -> None:
    whole = PING_COMMAND.ljust(4000)
    raw.send(frame(TEXT, whole[:1], fin=False))
    raw.send(b"".join(frame(CONTINUATION, whole[n : n + 1], fin=False) for n in range(1, len(whole))))
    raw.send(frame(CONTINUATION))
    assert raw.message()["id"] == 7


def test_who_does_not_answer_a_close_is_cut_off(raw: RawSocket) -> None:
    raw.send_frame(3)
    assert raw.close_code() == 1002
    assert raw.ended()


def test_a_flood_of_pings_whose_answers_nobody_reads_takes_no_memory(server: Server, alice: Person) -> None:
    with alice.raw(receive_buffer=65_536) as raw, server.bounded_memory(growth=GROWTH):
        raw.socket.settimeout(2)
        flood = frame(PING, bytes(125)) * 1000
        with suppress(TimeoutError, ConnectionError):
            for _ in repeat(None, 150):
                raw.send(flood)
        with alice.connect() as client:
            assert client.ask("ping")["type"] == "ok"


def test_who_reads_the_answers_to_many_pings_gets_the_last_one(raw: RawSocket) -> None:
    raw.send(b"".join(frame(PING, str(n).encode()) for n in range(1000)))
    while raw.receive().payload != b"999":
        pass


def compressed(payload: bytes) -> bytes:
    """RFC 7692, section 7.2.1."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_a_compressed_message_is_understood(server: Server, alice: Person) -> None:
    with RawSocket.upgraded(server.url, alice.token(), extra=DEFLATE) as raw:
        assert raw.receive().rsv == 4
        raw.send_frame(TEXT, compressed(PING_COMMAND), rsv=4)
        received = raw.receive()
    assert received.rsv == 4
    reply = json.loads(zlib.decompressobj(wbits=-15).decompress(received.payload + b"\x00\x00\xff\xff"))
    assert reply["id"] == 7


def test_what_inflates_beyond_the_limit_is_answered_with_1009_and_takes_no_memory(
    server: Server, alice: Person
) -> None:
    bomb = compressed(bytes(48 * MEGABYTE))
    assert len(bomb) < MAX_MESSAGE
    with RawSocket.upgraded(server.url, alice.token(), extra=DEFLATE) as raw:
        raw.receive()
        with server.bounded_memory(growth=GROWTH):
            raw.send_frame(TEXT, bomb, rsv=4)
            assert raw.close_code() == 1009


def test_a_close_is_answered_and_the_connection_ended(raw: RawSocket) -> None:
    raw.send_frame(CLOSE, close_payload(1000, b"goodbye"))
    assert raw.close_code() == 1000
    assert raw.ended()
