"""Frames as a careless or hostile client may write them: lone surrogates, repeated keys, numbers of any size."""

import json
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from chatd.wire.codec import Codec, JsonCodec, MsgpackCodec

Pairs = Sequence[tuple[str, Any]]


class Writing(Protocol):
    """One subprotocol, written by hand."""

    codec: Codec

    def write(self, frame: Any) -> bytes:
        """``frame`` in this form."""

    def object(self, pairs: Pairs) -> bytes:
        """An object whose keys may stand in it more than once."""

    def nested(self, depth: int) -> bytes:
        """Arrays in arrays."""


class JsonWriting:
    """JSON; what is not ASCII is escaped."""

    def __init__(self, commands: Any) -> None:
        self.codec = JsonCodec(commands)

    def write(self, frame: Any) -> bytes:
        return json.dumps(frame).encode()

    def object(self, pairs: Pairs) -> bytes:
        return b"{%b}" % b",".join(b"%b:%b" % (self.write(name), self.write(value)) for name, value in pairs)

    def nested(self, depth: int) -> bytes:
        return b"[" * depth + b"]" * depth


class RawJsonWriting(JsonWriting):
    """JSON; nothing is escaped that need not be."""

    def write(self, frame: Any) -> bytes:
        return json.dumps(frame, ensure_ascii=False).encode("utf-8", "surrogatepass")


class MsgpackWriting:
    """MessagePack, with the longest header of each kind."""

    def __init__(self, commands: Any) -> None:
        self.codec = MsgpackCodec(commands)

    def write(self, frame: Any) -> bytes:
        match frame:
            case None:
                return b"\xc0"
            case bool():
                return b"\xc3" if frame else b"\xc2"
            case int():
                return struct.pack(">BQ", 0xCF, frame) if frame >= 0 else struct.pack(">Bq", 0xD3, frame)
            case float():
                return struct.pack(">Bd", 0xCB, frame)
            case str():
                text = frame.encode("utf-8", "surrogatepass")
                return struct.pack(">BI", 0xDB, len(text)) + text
            case dict():
                return self.object(list(frame.items()))
            case list():
                return struct.pack(">BI", 0xDD, len(frame)) + b"".join(map(self.write, frame))
        raise TypeError(frame)

    def object(self, pairs: Pairs) -> bytes:
        parts = [self.write(name) + self.write(value) for name, value in pairs]
        return struct.pack(">BI", 0xDF, len(parts)) + b"".join(parts)

    def nested(self, depth: int) -> bytes:
        return b"\x91" * depth + b"\x90"
