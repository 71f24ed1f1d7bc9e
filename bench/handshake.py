"""The opening handshake of RFC 6455, section 4, from the client's side."""

from base64 import b64encode
from hashlib import sha1

from bench.errors import BenchError

END = b"\r\n\r\n"

_KEY = b64encode(bytes(16))
# Section 1.3: the key and this GUID, hashed, prove that the server speaks WebSocket.
_ACCEPT = b64encode(sha1(_KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def upgrade_request(port: int, path: str, *, subprotocol: str = "", token: str = "") -> bytes:
    """The request; without ``subprotocol`` or ``token`` their headers are left out."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_KEY.decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines).encode() + END


def check_response(head: bytes) -> None:
    """Raises BenchError unless this head of a response accepts the upgrade."""
    if not head.startswith(b"HTTP/1.1 101 ") or _ACCEPT not in head:
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        raise BenchError(f"the server did not accept the WebSocket: {status}")
