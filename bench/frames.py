"""RFC 6455 framing, as little of it and as fast as a load generator needs.

Every frame is a whole message: no server measured here fragments. Frames of a client must be masked (section 5.1); the
key is ours to choose, and with one of four zero bytes the masked payload is the payload itself, which costs nothing.
"""

from dataclasses import dataclass

from bench.errors import BenchError

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_FINAL = 0x80
_FINAL_TEXT = _FINAL | TEXT
_MASKED = 0x80
_ZERO_KEY = bytes(4)


class FrameError(BenchError):
    """What came is no frame that a server may send here."""


@dataclass(frozen=True, slots=True)
class Control:
    """A ping, pong or close."""

    opcode: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read brought: the texts lie at ``spans`` (start, stop) of ``data``, ``rest`` is a frame's beginning."""

    data: bytes
    spans: list[tuple[int, int]]
    controls: list[Control]
    rest: bytes


def frame_head(length: int, opcode: int = TEXT) -> bytes:
    """What stands before a client's payload of so many bytes, the mask key included."""
    first = _FINAL | opcode
    if length < 126:
        return bytes((first, _MASKED | length)) + _ZERO_KEY
    if length < 65536:
        return bytes((first, _MASKED | 126)) + length.to_bytes(2) + _ZERO_KEY
    return bytes((first, _MASKED | 127)) + length.to_bytes(8) + _ZERO_KEY


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame with this payload."""
    return frame_head(len(payload), opcode) + payload


def split(data: bytes) -> Batch:
    """Take apart what a server sent; raises FrameError."""
    spans: list[tuple[int, int]] = []
    controls: list[Control] = []
    position, end = 0, len(data)
    while end - position >= 2:
        length = data[position + 1]
        if length < 126:
            start = position + 2
        elif length == 126:
            start = position + 4
            length = int.from_bytes(data[position + 2 : start])
        else:
            start = position + 10
            length = _long_length(data, position)
        stop = start + length
        if stop > end or start > end:
            break
        if data[position] == _FINAL_TEXT:
            spans.append((start, stop))
        else:
            controls.append(_control(data[position], data[start:stop]))
        position = stop
    return Batch(data, spans, controls, data[position:])


def _long_length(data: bytes, position: int) -> int:
    if data[position + 1] & _MASKED:
        raise FrameError("a frame of the server is masked")
    return int.from_bytes(data[position + 2 : position + 10])


def _control(first: int, payload: bytes) -> Control:
    opcode = first & ~_FINAL
    if not first & _FINAL or opcode not in (CLOSE, PING, PONG):
        raise FrameError(f"a frame that begins with 0x{first:02x}: neither a whole text nor a control frame")
    return Control(opcode, payload)
