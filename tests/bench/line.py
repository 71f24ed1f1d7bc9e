"""A client connection of the load generator, and the server's end of it."""

import socket
from dataclasses import dataclass

from bench.connection import Connection


def server_frame(text: bytes, first: int = 0x81) -> bytes:
    """A frame as a server sends it: not masked."""
    head = bytes((first, len(text))) if len(text) < 126 else bytes((first, 126)) + len(text).to_bytes(2)
    return head + text


@dataclass(frozen=True)
class Line:
    """Both ends. ``say`` makes texts arrive at the client."""

    client: Connection
    server: socket.socket

    def say(self, *texts: bytes) -> None:
        self.server.sendall(b"".join(server_frame(text) for text in texts))
