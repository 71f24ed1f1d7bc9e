"""The generator's frames are RFC 6455's."""

import pytest

from bench.frames import CLOSE, PING, TEXT, Control, FrameError, frame, split
from tests.bench.line import server_frame


def texts(data: bytes) -> list[bytes]:
    batch = split(data)
    return [batch.data[start:stop] for start, stop in batch.spans]


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x81\x80"),
        (125, b"\x81\xfd"),
        (126, b"\x81\xfe\x00\x7e"),
        (65535, b"\x81\xfe\xff\xff"),
        (65536, b"\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_clients_frame_is_final_and_masked_with_four_zero_bytes(length: int, head: bytes) -> None:
    payload = b"x" * length
    assert frame(payload) == head + bytes(4) + payload


def test_all_whole_frames_of_a_read_are_found() -> None:
    long, longer = b"y" * 126, b"z" * 70_000
    longer_frame = b"\x81\x7f" + len(longer).to_bytes(8) + longer
    data = server_frame(b"") + server_frame(b"one") + server_frame(long) + longer_frame
    assert texts(data) == [b"", b"one", long, longer]
    assert split(data).rest == b""


def test_a_frame_cut_anywhere_waits_for_its_end() -> None:
    data = server_frame(b"first") + server_frame(b"a" * 200)
    for cut in range(len(data)):
        head = split(data[:cut])
        assert texts(data[:cut]) + texts(head.rest + data[cut:]) == [b"first", b"a" * 200]


def test_control_frames_stand_apart() -> None:
    batch = split(server_frame(b"beat", 0x89) + server_frame(b"text") + server_frame(b"\x03\xe9", 0x88))
    assert batch.controls == [Control(PING, b"beat"), Control(CLOSE, b"\x03\xe9")]
    assert len(batch.spans) == 1


@pytest.mark.parametrize("first", [TEXT, 0x80, 0x82, 0xC1], ids=["fragment", "continuation", "binary", "compressed"])
def test_what_no_server_here_sends_is_refused(first: int) -> None:
    with pytest.raises(FrameError):
        split(server_frame(b"text", first))


def test_a_masked_frame_of_a_server_is_refused() -> None:
    with pytest.raises(FrameError):
        split(frame(b"text"))
