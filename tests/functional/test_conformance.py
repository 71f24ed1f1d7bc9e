"""The WebSocket protocol (RFC 6455), held to an echo that has the options, guards and frames of chatd's connections.

The sections follow those of the Autobahn|Testsuite, whose own run is described in ``docs/design/conformance.rst``.
"""

from collections.abc import Iterable, Iterator

import pytest

from chatd.settings.limits import Limits
from tests.kit.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, close_payload, frame

LIMIT = Limits().max_message_bytes
SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, LIMIT)
BOTH_KINDS = pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])


@pytest.fixture
def raw(echo: str) -> Iterator[RawSocket]:
    with RawSocket.upgraded(echo) as raw:
        yield raw


def chopped(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def fragmented(opcode: int, payload: bytes, size: int) -> list[bytes]:
    """The frames of a message in fragments of that size."""
    parts = list(chopped(payload, size)) or [b""]
    opcodes = [opcode, *[CONTINUATION] * (len(parts) - 1)]
    last = len(parts) - 1
    return [frame(code, part, fin=n == last) for n, (code, part) in enumerate(zip(opcodes, parts, strict=True))]


def letters(size: int) -> bytes:
    return (b"abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]


class TestFraming:
    @BOTH_KINDS
    @pytest.mark.parametrize("size", SIZES)
    def test_messages_of_all_sizes_come_back(self, size: int, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(opcode, letters(size))
        raw.assert_receives(opcode, letters(size))

    @pytest.mark.parametrize("chop", [1, 3, 997])
    def test_however_the_network_chops_them(self, chop: int, raw: RawSocket) -> None:
        payload = letters(20_000 if chop > 3 else 300)
        for piece in chopped(frame(BINARY, payload) + frame(TEXT, payload), chop):
            raw.send(piece)
        raw.assert_receives(BINARY, payload)
        raw.assert_receives(TEXT, payload)

    def test_many_in_one_packet(self, raw: RawSocket) -> None:
        raw.send(b"".join(frame(TEXT, str(n).encode()) for n in range(500)))
        for n in range(500):
            raw.assert_receives(TEXT, str(n).encode())

    @pytest.mark.parametrize(("size", "length_bytes"), [(0, 2), (125, 2), (125, 8), (126, 8), (65_535, 8)])
    def test_a_length_is_written_in_the_fewest_bytes(self, size: int, length_bytes: int, raw: RawSocket) -> None:
        raw.send_frame(TEXT, letters(size), length_bytes=length_bytes)
        raw.assert_closed(1002)

    def test_a_length_has_63_bits(self, raw: RawSocket) -> None:
        raw.send_frame(BINARY, declared=1 << 63, length_bytes=8)
        assert raw.close_code() == 1002

    @BOTH_KINDS
    def test_frames_of_clients_are_masked(self, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(opcode, b"hello", masked=False)
        raw.assert_closed(1002)


class TestPings:
    @pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
    def test_the_pong_carries_what_the_ping_did(self, payload: bytes, raw: RawSocket) -> None:
        raw.send_frame(PING, payload)
        raw.assert_receives(PONG, payload)

    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_126_bytes_are_too_many(self, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(opcode, bytes(126))
        raw.assert_closed(1002)

    def test_a_ping_in_single_bytes(self, raw: RawSocket) -> None:
        for piece in chopped(frame(PING, b"\xfe" * 125), 1):
            raw.send(piece)
        raw.assert_receives(PONG, b"\xfe" * 125)

    @pytest.mark.parametrize("payload", [b"", b"unsolicited"])
    def test_a_pong_that_nobody_asked_for_is_ignored(self, payload: bytes, raw: RawSocket) -> None:
        raw.send(frame(PONG, payload) + frame(PING, b"asked"))
        raw.assert_receives(PONG, b"asked")

    def test_pongs_come_in_the_order_of_the_pings(self, raw: RawSocket) -> None:
        for n in range(10):
            raw.send_frame(PING, b"%d" % n)
        for n in range(10):
            raw.assert_receives(PONG, b"%d" % n)


class TestReservedBits:
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    @pytest.mark.parametrize("rsv", range(1, 8))
    def test_none_may_be_set_without_an_extension(self, rsv: int, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(TEXT, b"good")
        raw.assert_receives(TEXT, b"good")
        raw.send(frame(opcode, b"", rsv=rsv) + frame(PING))
        raw.assert_closed(1002)


class TestOpcodes:
    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    @pytest.mark.parametrize("payload", [b"", b"reserved"])
    def test_reserved_ones_are_refused(self, payload: bytes, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(TEXT, b"good")
        raw.assert_receives(TEXT, b"good")
        raw.send(frame(opcode, payload) + frame(PING))
        raw.assert_closed(1002)


class TestFragments:
    @BOTH_KINDS
    @pytest.mark.parametrize("size", [1, 7, 1300, 65_535])
    def test_fragments_come_back_as_one_message(self, size: int, opcode: int, raw: RawSocket) -> None:
        payload = letters(LIMIT if size > 7 else 2000)
        raw.send(b"".join(fragmented(opcode, payload, size)))
        raw.assert_receives(opcode, payload)

    def test_empty_fragments_count_too(self, raw: RawSocket) -> None:
        raw.send(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION))
        raw.assert_receives(TEXT, b"")
        raw.send(frame(TEXT, fin=False) + frame(CONTINUATION, b"middle", fin=False) + frame(CONTINUATION))
        raw.assert_receives(TEXT, b"middle")

    def test_pings_between_fragments_are_answered_at_once(self, raw: RawSocket) -> None:
        first, second, third = fragmented(TEXT, b"abcdef", 2)
        raw.send(first + frame(PING, b"1"))
        raw.assert_receives(PONG, b"1")
        raw.send(second + frame(PING, b"2") + frame(PONG, b"3"))
        raw.assert_receives(PONG, b"2")
        raw.send(third)
        raw.assert_receives(TEXT, b"abcdef")

    def test_fragments_in_single_bytes_with_a_ping_between(self, raw: RawSocket) -> None:
        first, second = fragmented(TEXT, b"hello world", 6)
        for piece in chopped(first + frame(PING, b"now") + second, 1):
            raw.send(piece)
        raw.assert_receives(PONG, b"now")
        raw.assert_receives(TEXT, b"hello world")

    @pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
    def test_control_frames_are_not_fragmented(self, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(opcode, b"", fin=False)
        raw.assert_closed(1002)

    @pytest.mark.parametrize("fin", [True, False])
    @pytest.mark.parametrize("before", [b"", frame(TEXT, b"whole")], ids=["at first", "behind a whole message"])
    def test_there_is_no_continuation_of_nothing(self, before: bytes, fin: bool, raw: RawSocket) -> None:
        raw.send(before)
        if before:
            raw.assert_receives(TEXT, b"whole")
        raw.send_frame(CONTINUATION, b"of what?", fin=fin)
        raw.assert_closed(1002)

    @BOTH_KINDS
    @pytest.mark.parametrize("fin", [True, False])
    def test_there_is_no_message_within_a_message(self, fin: bool, opcode: int, raw: RawSocket) -> None:
        raw.send(frame(TEXT, b"first", fin=False) + frame(opcode, b"second", fin=fin))
        raw.assert_closed(1002)


class TestLimits:
    @BOTH_KINDS
    def test_a_frame_above_the_limit_is_refused_by_its_head_alone(self, opcode: int, raw: RawSocket) -> None:
        raw.send_frame(opcode, declared=LIMIT + 1)
        assert raw.close_code() == 1009

    def test_so_is_a_message_by_the_head_of_its_last_fragment(self, raw: RawSocket) -> None:
        raw.send(frame(BINARY, bytes(LIMIT), fin=False) + frame(CONTINUATION, declared=1))
        assert raw.close_code() == 1009

    def test_the_limit_is_that_of_each_message(self, raw: RawSocket) -> None:
        for _ in range(3):
            raw.send(b"".join(fragmented(BINARY, bytes(LIMIT), 40_000)))
            raw.assert_receives(BINARY, bytes(LIMIT))


def test_closing_a_fragmented_message_in_the_middle_is_in_order(raw: RawSocket) -> None:
    raw.send(frame(TEXT, b"unfinished", fin=False) + frame(CLOSE, close_payload(1000)))
    raw.assert_closed(1000)


class TestClosing:
    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            *(close_payload(code) for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013)),
            *(close_payload(code) for code in (3000, 3999, 4000, 4999)),
            close_payload(1000, b"goodbye"),
            close_payload(1000, "\u00fcber \U0001f600".encode()),
            close_payload(4999, b"x" * 123),
        ],
    )
    def test_a_close_is_answered_with_1000_and_the_end(self, payload: bytes, raw: RawSocket) -> None:
        raw.send_frame(CLOSE, payload)
        raw.assert_closed(1000)

    @pytest.mark.parametrize(
        "payload",
        [
            b"\x03",
            *(close_payload(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)),
            close_payload(1000, b"x" * 124),
        ],
    )
    def test_a_bad_one_is_answered_with_1002(self, payload: bytes, raw: RawSocket) -> None:
        raw.send_frame(CLOSE, payload)
        raw.assert_closed(1002)

    @pytest.mark.parametrize("reason", [b"\xff", b"\xce", b"\xce\xba\xe1\xbd", b"\xed\xa0\x80", b"ok\xc0\xaf"])
    def test_a_reason_that_is_no_utf_8_is_answered_with_1007(self, reason: bytes, raw: RawSocket) -> None:
        raw.send_frame(CLOSE, close_payload(1000, reason))
        raw.assert_closed(1007)

    @pytest.mark.parametrize(
        "late", [frame(TEXT, b"late"), frame(PING), frame(CLOSE, close_payload(1000))], ids=["text", "ping", "close"]
    )
    def test_nothing_behind_a_close_is_heeded(self, late: bytes, raw: RawSocket) -> None:
        raw.send(frame(TEXT, b"before") + frame(CLOSE, close_payload(1000)) + late)
        raw.assert_receives(TEXT, b"before")
        assert raw.receive().opcode == CLOSE
        assert raw.ended()

    def test_what_came_before_is_answered_first(self, raw: RawSocket) -> None:
        raw.send(frame(BINARY, bytes(LIMIT)) + frame(PING, b"last") + frame(CLOSE, close_payload(1000)))
        raw.assert_receives(BINARY, bytes(LIMIT))
        raw.assert_receives(PONG, b"last")
        raw.assert_closed(1000)
