"""Bytes that no client in its right mind would send, and what a server may answer to them.

Everything is made by hypothesis from the grammar of the wire: whole frames and requests, right in most and wrong in
some respect, cut into segments anywhere. What comes back is held to the rules in :meth:`Target.hold`.
"""

import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self
from uuid import UUID

from hypothesis import strategies as st

from chatd.handlers.catalogue import DECLARATIONS
from tests.kit.clients import Client
from tests.kit.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, close_payload, frame
from tests.kit.samples import frame_of
from tests.kit.server import Sections, Server
from tests.kit.tokens import AuthService

Kind = Literal["http", "websocket", "unauthenticated"]

SETTINGS: Sections = {
    "search": {"enabled": True},
    "limits": {"compression": True, "max_message_bytes": 65_536, "max_frame_bytes": 65_536},
}
CLOSES = frozenset({1000, 1002, 1003, 1007, 1008, 1009, 4500})
"""With what a server may close that is asked nonsense. Whatever else it says is of faults of its own."""

REVOKING = frozenset({"device.end", "device.end_others", "token.revoke"})
"""Left out: nobody would be let in afterwards."""

LIFETIME_S = 7 * 86_400.0
"""Of tokens: for as long as anybody lets it run."""

_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)


@dataclass(frozen=True)
class Attack:
    """What is sent on one connection, segment by segment."""

    kind: Kind
    segments: tuple[bytes, ...]

    def __str__(self) -> str:
        return json.dumps({"kind": self.kind, "segments": [one.hex() for one in self.segments]})

    @classmethod
    def read(cls, text: str) -> Self:
        """What ``str`` wrote."""
        found = json.loads(text)
        return cls(found["kind"], tuple(bytes.fromhex(one) for one in found["segments"]))


class Finding(AssertionError):
    """An attack that a server did not stand as it should."""

    def __init__(self, attack: Attack, what: str) -> None:
        super().__init__(f"{what}\n{attack}")
        self.attack = attack
        self.what = what


# -- what is sent --


def _texts() -> st.SearchStrategy[bytes]:
    odd = [
        b"",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"[" * 3000,
        b'{"id":1e999}',
        b'{"id":' + b"9" * 5000,
    ]
    return st.one_of(st.sampled_from(odd), st.binary(max_size=200), _commands())


@st.composite
def _commands(draw: st.DrawFn) -> bytes:
    """A command, or nearly one."""
    shape = draw(st.sampled_from([one.shape for one in DECLARATIONS if one.name not in REVOKING]))
    fields: dict[str, Any] = dict(frame_of(shape))
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
        fields[name] = draw(_VALUES)
    if draw(st.integers(0, 9)) == 0:
        fields["more"] = draw(_VALUES)
    return json.dumps(fields, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=()), max_size=50),
        st.sampled_from(["", "\0", "\ud800", "a" * 5000, "../..", "' OR 1=1 --", "\x1b[2J", str(UUID(int=1))]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def _frames(draw: st.DrawFn) -> bytes:
    """A frame: right in most respects, most of the time."""
    rarely = st.integers(0, 19).map(lambda drawn: drawn == 0)
    opcode = draw(st.sampled_from([TEXT] * 8 + [BINARY, CONTINUATION, PING, PONG, CLOSE, 3, 11, 15]))
    payload = draw(_texts())
    if opcode == CLOSE:
        payload = draw(st.one_of(st.integers(0, 65_535).map(close_payload), st.binary(max_size=130)))
    return frame(
        opcode,
        payload,
        fin=draw(st.integers(0, 5)) != 0,
        rsv=draw(st.integers(1, 7)) if draw(rarely) else 0,
        masked=not draw(rarely),
        declared=draw(st.integers(0, 2**63 - 1)) if draw(rarely) else None,
        length_bytes=8 if draw(rarely) else None,
    )


def _target(path: str) -> bytes:
    """A route with something in the place of each field."""
    return re.sub(r"\{\w+\}", str(UUID(int=1)), path.replace("{seq}", "1")).encode()


_METHODS = [b"GET", b"POST", b"POST", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"G\x00T", b"", b"A" * 300]
_TARGETS = [
    *sorted({_target(one.route.path) for one in DECLARATIONS if one.name not in REVOKING}),
    *(b"/v1/ws", b"/", b"*", b"//", b"/v1/../v1/ping", b"/%00", b"/v1/ping?a=%ff", b"http://x/v1/ping", b"/\xff", b"x"),
]
_VERSIONS = [b"HTTP/1.1"] * 9 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b""]
_FRAMING = [
    *(b"Content-Length: 2", b"Content-Length: +2", b"Content-Length: 0x2", b"Content-Length: 2, 2", b"Content-Length:"),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: -1", b"Content-Length : 2", b"Content-Length: 2_0"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked, identity"),
    *(b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close"),
    *(b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: x"),
    *(b"Sec-WebSocket-Protocol: chatd.v1.json", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Origin: null"),
    *(b"Sec-WebSocket-Extensions: permessage-deflate; a=1; a=1", b"Cookie: a=b", b"Chatd-Device: \xff", b"Host: y"),
    *(b"Content-Type: application/json", b"Content-Type: \xff", b": x", b"x", b"\x00: y", b"A: b\rc", b"A: b\n c"),
]
_BODIES = [
    b"",
    b"{}",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"0x2\r\n{}\r\n",
    b"ffffffffffffffff\r\n",
    b"2;a=b\r\n{}\r\n0\r\nT: x\r\n\r\n",
    b"-1\r\n",
]


@st.composite
def _requests(draw: st.DrawFn, token: str) -> bytes:
    """A request, or nearly one."""
    lines = [
        b" ".join([draw(st.sampled_from(_METHODS)), draw(st.sampled_from(_TARGETS)), draw(st.sampled_from(_VERSIONS))])
    ]
    if draw(st.integers(0, 9)):
        lines.append(b"Host: x")
    if draw(st.booleans()):
        lines.append(b"Authorization: Bearer " + token.encode())
    lines += draw(st.lists(st.one_of(st.sampled_from(_FRAMING), st.binary(max_size=60)), max_size=6))
    body = draw(st.one_of(st.sampled_from(_BODIES), _texts()))
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(body))
    end = b"\n" if draw(st.integers(0, 19)) == 0 else b"\r\n"
    return end.join([*lines, b"", b""]) + body


@st.composite
def _cut(draw: st.DrawFn, data: bytes) -> tuple[bytes, ...]:
    """The same in segments, and perhaps with bytes that are others than they were."""
    changed = bytearray(data)
    if data and draw(st.integers(0, 4)) == 0:
        for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
            changed[place] = draw(st.integers(0, 255))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    ends = [*cuts, len(data)]
    return tuple(bytes(changed[start:end]) for start, end in zip([0, *cuts], ends, strict=True) if start < end)


@st.composite
def attacks(draw: st.DrawFn, token: str) -> Attack:
    """All that can be sent on one connection. Requests show ``token``, as WebSockets do that are authenticated."""
    kind: Kind = draw(st.sampled_from(["http", "websocket", "websocket", "unauthenticated"]))
    parts = _requests(token) if kind == "http" else st.one_of(_frames(), _frames(), st.binary(max_size=40))
    return Attack(kind, draw(_cut(b"".join(draw(st.lists(parts, min_size=1, max_size=5))))))


# -- what may come of it --


class Target:
    """A running server, and somebody else on it who is served all the while. Close it at the end."""

    def __init__(self, server: Server, auth: AuthService) -> None:
        self._server = server
        self.token = auth.token("mallory", lifetime=LIFETIME_S)
        self._bystander = Client(server.url, auth.token("alice", lifetime=LIFETIME_S))
        self._seen = server.log_file.stat().st_size

    def close(self) -> None:
        self._bystander.close()

    def hold(self, attack: Attack) -> None:
        """Raise a Finding unless the server takes it as it should.

        It answers, if at all, with what is the client's to mend; closes with a code that says so; logs no traceback;
        and goes on serving others.
        """
        received = self._attacked(attack)
        what = wrong_over_http(received) if attack.kind == "http" else wrong_in_frames(received)
        what = what or self._logged()
        if what:
            raise Finding(attack, what)

    def _attacked(self, attack: Attack) -> bytes:
        try:
            raw = self._connection(attack.kind)
        except (AssertionError, EOFError, OSError) as error:
            raise Finding(attack, f"nobody is let in any more: {error!r}") from error
        with raw:
            with suppress(ConnectionError):
                for segment in attack.segments:
                    raw.send(segment)
            # One reactor serves all: once somebody else has been answered, what was sent before has been seen.
            if self._bystander.ask("ping")["type"] != "ok":
                raise Finding(attack, "somebody else is not served")
            return _what_has_come(raw.socket)

    def _connection(self, kind: Kind) -> RawSocket:
        if kind == "http":
            return RawSocket(self._server.url)
        return RawSocket.upgraded(self._server.url, self.token if kind == "websocket" else None)

    def _logged(self) -> str:
        end = self._server.log_file.stat().st_size
        if end == self._seen:
            return ""
        with self._server.log_file.open("rb") as log:
            log.seek(self._seen)
            news = log.read(end - self._seen)
        self._seen = end
        return news.decode("utf-8", "replace") if b"Traceback" in news or b"Unhandled" in news else ""


def _what_has_come(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    received = bytearray()
    with suppress(BlockingIOError, ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return bytes(received)


def wrong_over_http(received: bytes) -> str:
    statuses = [int(status) for status in _STATUS.findall(received)]
    if received and not _STATUS.match(received):
        return f"something that is no response: {received[:200]!r}"
    return next((f"status {status}: {received!r}" for status in statuses if status >= 500), "")


def wrong_in_frames(received: bytes) -> str:
    place = 0
    while len(received) - place >= 2:
        first, second = received[place], received[place + 1]
        start, length = place + 2, second & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length, start = int.from_bytes(received[start : start + size], "big"), start + size
        payload = received[start : start + length]
        if second & 0x80 or first & 0x70:
            return f"a frame that no server sends: {received[place : place + 20]!r}"
        if len(payload) < length:
            return ""
        if what := _wrong_frame(first & 0x0F, payload):
            return what
        place = start + length
    return ""


def _wrong_frame(opcode: int, payload: bytes) -> str:
    if opcode == CLOSE:
        code = int.from_bytes(payload[:2], "big")
        return "" if code in CLOSES else f"closed with {code}"
    if opcode == TEXT:
        status = json.loads(payload).get("error", {}).get("status", 0)
        return f"an error of the server's own: {payload!r}" if status >= 500 else ""
    return "" if opcode in (PING, PONG) else f"a frame of opcode {opcode}"
