"""JSON and MessagePack, both from the same types.

A frame holds one object. Where a key stands twice in it, each value must be a possible one, and the last counts (RFC
8259 leaves that open; nothing else parses the frame); two different values of ``type`` are refused. Integers beyond
64 bits, NaN and infinities are refused, as is anything a type does not name.
"""

from typing import Any, Protocol

import msgspec

from chatd.errors import ChatdError, Invalid, Malformed, PeerError


class _Sketch(msgspec.Struct):
    """As much of a refused frame as is needed to answer it."""

    id: int | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of an error, the same over WebSocket and HTTP."""

    code: str
    status: int
    detail: str
    retryable: bool
    retry_after_ms: int | None = None


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """``id`` is null where the frame did not show one."""

    id: int | None
    error: ErrorBody


def error_body(error: ChatdError) -> ErrorBody:
    """The published face of ``error``."""
    return ErrorBody(
        code=error.code,
        status=error.status,
        detail=error.detail,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


class BadFrame(Exception):
    """A frame that is no command. ``id`` is the request's, where it could be read."""

    def __init__(self, error: PeerError, id: int | None) -> None:
        super().__init__(error.detail)
        self.error = error
        self.id = id


class Codec(Protocol):
    """One subprotocol's way of writing."""

    subprotocol: str
    binary: bool

    def decode(self, payload: bytes) -> Any:
        """The command in ``payload``; raises :exc:`BadFrame`."""

    def encode_event(self, event: msgspec.Struct) -> bytes:
        """An event as one frame."""

    def encode_reply(self, id: int, reply: msgspec.Struct) -> bytes:
        """A reply as one frame, with the id of its request."""

    def encode_error(self, id: int | None, error: ChatdError) -> bytes:
        """An error as one frame."""


def refusal(error: Exception) -> PeerError:
    """The decoder's complaint as a coded error; its text names the field by a path that starts at ``$``."""
    if isinstance(error, msgspec.ValidationError):
        return Invalid(str(error).replace("`$.", "`").replace("`$`", "the frame"))
    return Malformed()


class JsonCodec:
    """``chatd.v1.json``: text frames."""

    subprotocol = "chatd.v1.json"
    binary = False

    def __init__(self, commands: Any) -> None:
        self._decode = msgspec.json.Decoder(commands).decode
        self._sketch = msgspec.json.Decoder(_Sketch).decode
        self.encode_event = msgspec.json.Encoder().encode

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadFrame(refusal(error), self._id(payload)) from None

    def _id(self, payload: bytes) -> int | None:
        try:
            return self._sketch(payload).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def encode_reply(self, id: int, reply: msgspec.Struct) -> bytes:
        return b'{"id":%d,%b' % (id, self.encode_event(reply)[1:])

    def encode_error(self, id: int | None, error: ChatdError) -> bytes:
        return self.encode_event(ErrorReply(id=id, error=error_body(error)))


class MsgpackCodec:
    """``chatd.v1.msgpack``: binary frames; times are RFC 3339 text there too."""

    subprotocol = "chatd.v1.msgpack"
    binary = True

    def __init__(self, commands: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(commands).decode
        self._sketch = msgspec.msgpack.Decoder(_Sketch).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadFrame(refusal(error), self._id(payload)) from None

    def _id(self, payload: bytes) -> int | None:
        try:
            return self._sketch(payload).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def encode_event(self, event: msgspec.Struct) -> bytes:
        return self._encode(msgspec.to_builtins(event))

    def encode_reply(self, id: int, reply: msgspec.Struct) -> bytes:
        return self._encode({"id": id, **msgspec.to_builtins(reply)})

    def encode_error(self, id: int | None, error: ChatdError) -> bytes:
        return self.encode_event(ErrorReply(id=id, error=error_body(error)))
