"""UTF-8 in text messages (RFC 3629; RFC 6455, sections 5.6 and 8.1), held to the echo: what is valid comes back, and
what cannot become valid any more ends the connection with 1007, as soon as that shows."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.kit.raw import BINARY, CONTINUATION, TEXT, RawSocket, frame

GREEK = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()

VALID = [
    "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode(),
    GREEK,
    *(chr(point).encode() for point in (0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF)),
    *(chr(point).encode() for point in (0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0x1FFFE, 0x10FFFE, 0xFEFF)),
]

INVALID = [
    # continuation bytes alone, or missing
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80",
    b"\xc3",
    b"\xc3x",
    b"\xe2\x82",
    b"\xe2\x82x",
    b"\xf0\x9f\x98",
    b"\xf0\x9f\x98x",
    b"\xdf\xef\xbf",
    # bytes that never occur
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    # overlong
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    # of five and six bytes
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    # surrogates, alone and paired
    b"\xed\xa0\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    # beyond the last code point
    b"\xf4\x90\x80\x80",
    b"\xf7\xbf\xbf\xbf",
]


@pytest.fixture
def raw(echo: str) -> Iterator[RawSocket]:
    with RawSocket.upgraded(echo) as raw:
        yield raw


@pytest.mark.parametrize("text", VALID)
def test_valid_text_comes_back_whole_and_fragmented_anywhere(text: bytes, raw: RawSocket) -> None:
    raw.send_frame(TEXT, text)
    raw.assert_receives(TEXT, text)
    for cut in range(len(text) + 1):
        raw.send(frame(TEXT, text[:cut], fin=False) + frame(CONTINUATION, text[cut:]))
        raw.assert_receives(TEXT, text)
    ends = range(len(text) + 1)
    parts = [text[start:end] for start, end in pairwise(ends)]
    raw.send(frame(TEXT, fin=False) + b"".join(frame(CONTINUATION, part, fin=False) for part in parts))
    raw.send(frame(CONTINUATION))
    raw.assert_receives(TEXT, text)


@pytest.mark.parametrize("text", INVALID)
def test_invalid_text_is_refused(text: bytes, raw: RawSocket) -> None:
    raw.send_frame(TEXT, b"before " + text)
    raw.assert_closed(1007)


@pytest.mark.parametrize("text", INVALID)
def test_invalid_text_is_refused_when_it_comes_byte_by_byte(text: bytes, raw: RawSocket) -> None:
    raw.send(frame(TEXT, GREEK, fin=False))
    raw.send(b"".join(frame(CONTINUATION, bytes([byte]), fin=False) for byte in text))
    raw.send(frame(CONTINUATION))
    raw.assert_closed(1007)


@pytest.mark.parametrize("text", [b"\xf4\x90", b"\xff", b"\xed\xa0", b"\xc0"])
def test_it_is_refused_before_the_message_has_ended(text: bytes, raw: RawSocket) -> None:
    raw.send(frame(TEXT, GREEK + text, fin=False))
    raw.assert_closed(1007)


def test_it_is_refused_before_the_frame_has_ended(raw: RawSocket) -> None:
    raw.send(frame(TEXT, GREEK + b"\xf4\x90", declared=60_000))
    assert raw.close_code() == 1007


@pytest.mark.parametrize("text", INVALID)
def test_binary_messages_may_hold_anything(text: bytes, raw: RawSocket) -> None:
    raw.send_frame(BINARY, text)
    raw.assert_receives(BINARY, text)


def test_every_message_is_judged_anew(raw: RawSocket) -> None:
    for _ in range(3):
        raw.send(frame(TEXT, GREEK, fin=False) + frame(CONTINUATION, GREEK))
        raw.assert_receives(TEXT, GREEK * 2)
        raw.send_frame(BINARY, b"\xff")
        raw.assert_receives(BINARY, b"\xff")
