"""One client connection on a non-blocking socket."""

import errno
import os
import socket
import struct

from bench.errors import BenchError
from bench.frames import CLOSE, PING, PONG, Batch, Control, frame, split
from bench.handshake import END, check_response

_READ_BYTES = 262_144
# Close with a reset: tens of thousands of sockets in TIME_WAIT would use up the loopback's ports (socket(7)).
_RESET = struct.pack("ii", 1, 0)


def _check(error: int) -> None:
    if error not in (0, errno.EINPROGRESS):
        raise BenchError(f"cannot connect: {os.strerror(error)}")


class Connection:
    """A WebSocket from its TCP connect on. Whatever the server does wrong raises BenchError."""

    __slots__ = ("_request", "_rest", "_socket", "fileno", "is_open")

    def __init__(self, port: int, request: bytes) -> None:
        """Begin to connect to loopback; ``request`` is the upgrade request, for when that is done."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        _check(self._socket.connect_ex(("127.0.0.1", port)))
        self.fileno = self._socket.fileno()
        self._request = request
        self._rest = b""
        self.is_open = False

    @property
    def port(self) -> int:
        """The port at this end."""
        port: int = self._socket.getsockname()[1]
        return port

    def connected(self) -> None:
        """The socket has become writable: ask for the upgrade."""
        _check(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        self.send(self._request)

    def handshake(self) -> bool:
        """The socket has become readable: whether the upgrade is complete. What came after it waits for `receive`."""
        data = self._rest + self._read()
        head, end, self._rest = data.partition(END)
        if end:
            check_response(head)
            self.is_open = True
        else:
            self._rest = data
        return self.is_open

    def waiting(self) -> Batch:
        """What arrived together with the end of the handshake."""
        return self._take(self._rest)

    def receive(self) -> Batch:
        """The socket has become readable: the messages that are there. Pings are answered here."""
        data = self._read()
        return self._take(self._rest + data if self._rest else data)

    def send(self, data: bytes) -> None:
        """Send whole frames. A load in closed loop never fills a socket's buffer, unless the server stopped reading."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            raise BenchError("the server does not read: a socket's buffer is full")

    def close(self) -> None:
        """Close at once, without a closing handshake."""
        self._socket.close()

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionError as error:
            raise BenchError(f"a connection was lost: {error.strerror}") from error
        if not data:
            raise BenchError("the server closed a connection")
        return data

    def _take(self, data: bytes) -> Batch:
        batch = split(data)
        self._rest = batch.rest
        for control in batch.controls:
            self._answer(control)
        return batch

    def _answer(self, control: Control) -> None:
        if control.opcode == PING:
            self.send(frame(control.payload, PONG))
        elif control.opcode == CLOSE:
            code, reason = int.from_bytes(control.payload[:2]), control.payload[2:].decode("utf-8", "replace")
            raise BenchError(f"the server closed a connection: {code} {reason}")
