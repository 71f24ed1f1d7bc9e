"""A WebSocket client that can say anything at all: frames are made by hand, right or wrong (RFC 6455, section 5.2)."""

import base64
import json
import os
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.kit.clients import JSON, Message, headers
from tests.kit.waiting import WITHIN_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Received:
    """A frame from the server."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool


def mask(payload: bytes, key: bytes) -> bytes:
    """RFC 6455, section 5.3; the same again unmasks."""
    whole = key * (len(payload) // 4 + 1)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole[: len(payload)], "big")).to_bytes(len(payload), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    declared: int | None = None,
    length_bytes: int | None = None,
) -> bytes:
    """A frame. ``declared``: a length other than the payload's; ``length_bytes``: 0, 2 or 8 behind the first two."""
    length = len(payload) if declared is None else declared
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    first = opcode | rsv << 4 | (0x80 if fin else 0)
    short = {0: length, 2: 126, 8: 127}[length_bytes] | (0x80 if masked else 0)
    head = bytes([first, short]) + (length.to_bytes(length_bytes, "big") if length_bytes else b"")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(payload, key)


def parsed(received: Received) -> Message:
    """The JSON message in a frame."""
    assert received.opcode == TEXT, received
    found = json.loads(received.payload)
    assert isinstance(found, dict)
    return found


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """What a close frame carries."""
    return struct.pack("!H", code) + reason


class RawSocket:
    """One TCP connection to a server."""

    def __init__(self, url: str, *, receive_buffer: int | None = None, source: str = "") -> None:
        """``receive_buffer``: a small one, in bytes, for a client that does not read. ``source``: its own address."""
        self._address = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WITHIN_S)
        self.socket.bind((source, 0))
        self.socket.connect((self._address.hostname, self._address.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    @classmethod
    def upgraded(
        cls,
        url: str,
        token: str | None = None,
        *,
        device: str | None = None,
        subprotocol: str = JSON,
        extra: dict[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """A connection on which the handshake is done."""
        raw = cls(url, receive_buffer=receive_buffer)
        raw.send(raw.handshake(headers(token, device) | {"Sec-WebSocket-Protocol": subprotocol} | (extra or {})))
        status, _ = raw.response()
        assert status == 101, status
        return raw

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def handshake(self, more: dict[str, str]) -> bytes:
        """The request of a handshake (RFC 6455, section 4.1)."""
        lines = {
            "Host": f"{self._address.hostname}:{self._address.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **more,
        }
        head = f"GET {self._address.path} HTTP/1.1\r\n" + "".join(f"{name}: {lines[name]}\r\n" for name in lines)
        return head.encode("utf-8") + b"\r\n"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_answered(self, data: bytes, *, times: int) -> None:
        """Send ``data`` again and again, ``times`` at most, until the server has something to say.

        Whoever goes on behind the server's last word has it thrown away by a reset: the connection is closed with
        bytes that nobody read (RFC 1122, section 4.2.2.13).
        """
        with suppress(ConnectionError):
            for _ in range(times):
                if self.answered():
                    return
                self.send(data)

    def send_frame(self, opcode: int, payload: bytes = b"", **how: bool | int | None) -> None:
        """See :func:`frame`."""
        self.send(frame(opcode, payload, **how))

    def response(self) -> tuple[int, dict[str, str]]:
        """An HTTP response: its status and its headers by lower-case name. Its body is passed over."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(fields.get("content-length", "0"))
        self._need(length)
        del self._received[:length]
        return int(first.split()[1]), fields

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server has closed the connection")
        self._received += data

    def _need(self, number: int) -> None:
        while len(self._received) < number:
            self._more()

    def receive(self) -> Received:
        """The next frame; EOFError if the server has closed the connection.

        After a TimeoutError nothing is lost: it may be called again.
        """
        self._need(2)
        first, second = self._received[:2]
        start, length = 2, second & 0x7F
        if length > 125:
            start = 4 if length == 126 else 10
            self._need(start)
            least = 126 if length == 126 else 65536
            length = int.from_bytes(self._received[2:start], "big")
            assert length >= least, "the length is not written in the fewest bytes"
        self._need(start + length)
        payload = bytes(self._received[start : start + length])
        del self._received[: start + length]
        return Received(
            opcode=first & 0x0F, payload=payload, fin=bool(first & 0x80), rsv=first >> 4 & 7, masked=bool(second & 0x80)
        )

    def message(self) -> Message:
        """The next frame, which holds a JSON message."""
        return parsed(self.receive())

    def say(self, message: Message) -> None:
        """Send a JSON message."""
        self.send_frame(TEXT, json.dumps(message).encode())

    def close_code(self) -> int | None:
        """Read to the server's close frame: its code, or None if the connection ends without one."""
        with suppress(EOFError, ConnectionResetError):
            while True:
                received = self.receive()
                if received.opcode == CLOSE:
                    return int.from_bytes(received.payload[:2], "big") if received.payload else 1005
        return None

    def assert_receives(self, opcode: int, payload: bytes) -> None:
        """The next frame is a whole and plain one of a server, with that in it."""
        received = self.receive()
        assert (received.opcode, received.fin, received.rsv, received.masked) == (opcode, True, 0, False)
        assert received.payload == payload

    def assert_closed(self, code: int) -> None:
        """The server says why with ``code``, and closes the socket once it was answered."""
        assert self.close_code() == code
        with suppress(ConnectionError):
            self.send_frame(CLOSE, close_payload(code))
        assert self.ended()

    def ended(self) -> bool:
        """Read to the end of the stream; TimeoutError if it does not come."""
        with suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return True

    def broken(self) -> bool:
        """Whether the server has given the connection up, by a reset, as far as can be seen without reading."""
        return self._event(0)

    def answered(self) -> bool:
        """Whether there is something to read."""
        return self._event(select.POLLIN)

    def _event(self, mask: int) -> bool:
        poll = select.poll()
        poll.register(self.socket, mask)
        return bool(poll.poll(0))
