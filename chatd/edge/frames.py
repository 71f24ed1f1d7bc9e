"""Whole WebSocket frames of the server's (RFC 6455, section 5.2): unmasked, unfragmented, made once for all readers."""

from chatd.wire.codec import Codec
from chatd.wire.events import Event

_FIN_TEXT = b"\x81"
_FIN_BINARY = b"\x82"


class Frame:
    """A message and the bytes that carry it uncompressed."""

    __slots__ = ("payload", "wire")

    def __init__(self, payload: bytes, wire: bytes) -> None:
        self.payload = payload
        self.wire = wire

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.wire)


class FrameForm:
    """Frames of one subprotocol."""

    __slots__ = ("_first", "codec")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._first = _FIN_BINARY if codec.binary else _FIN_TEXT

    def encode(self, event: Event) -> Frame:
        """An event as a frame."""
        return self.frame(self.codec.encode_event(event))

    def frame(self, payload: bytes) -> Frame:
        """The frame that carries ``payload``."""
        length = len(payload)
        if length < 126:
            header = self._first + length.to_bytes(1)
        elif length < 65536:
            header = self._first + b"\x7e" + length.to_bytes(2)
        else:
            header = self._first + b"\x7f" + length.to_bytes(8)
        return Frame(payload, header + payload)
