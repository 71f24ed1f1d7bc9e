"""Whole WebSocket frames of the server's (RFC 6455, section 5.2): unmasked, unfragmented, made once for all readers."""

from collections.abc import Sequence

from chatd.wire.codec import Codec
from chatd.wire.events import Event

_FIN_TEXT = b"\x81"
_FIN_BINARY = b"\x82"


class Frames:
    """Messages and the bytes that carry them uncompressed."""

    __slots__ = ("payloads", "wire")

    def __init__(self, payloads: Sequence[bytes], wire: bytes) -> None:
        self.payloads = payloads
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

    def encode(self, *events: Event) -> Frames:
        """Each event as a frame."""
        encode = self.codec.encode_event
        return self.frames(*[encode(event) for event in events])

    def frames(self, *payloads: bytes) -> Frames:
        """The frames that carry ``payloads``, each of which is a message."""
        parts: list[bytes] = []
        for payload in payloads:
            length = len(payload)
            if length < 126:
                parts.append(self._first + length.to_bytes(1))
            elif length < 65536:
                parts.append(self._first + b"\x7e" + length.to_bytes(2))
            else:
                parts.append(self._first + b"\x7f" + length.to_bytes(8))
            parts.append(payload)
        return Frames(payloads, b"".join(parts))
