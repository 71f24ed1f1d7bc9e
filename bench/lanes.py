"""What is sent, and what must come back: each message acknowledged once and delivered once, in order.

A lane numbers its messages from 1. The number stands in the text and, above FIRST, in the request's id; since nobody
else writes into a lane's conversation, it is also the ``seq`` that the message must get. All numbers have eight
digits, so that the frames of a lane have one length. Frames are recognised by their bytes, without parsing JSON.
"""

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from bench.connection import Connection
from bench.errors import Violation
from bench.frames import frame_head

FIRST = 10_000_000
_DIGITS = 8
_REPLY = b'{"id":'
_OK = b'"type":"ok"'
_CREATED = b'{"type":"message.created"'
_OPENED = b'{"type":"conversation.created"'
_SEQ = b'"seq":'
_TEXT = b'"text":"'


class Samples:
    """Latencies in seconds, of all lanes together. A server that only echoes has no acknowledgements."""

    def __init__(self) -> None:
        self.acks: list[float] = []
        self.deliveries: list[float] = []

    def clear(self) -> None:
        """Forget what was measured so far; the lists stay the same."""
        self.acks.clear()
        self.deliveries.clear()


class Lane(Protocol):
    """A stream of messages."""

    sent: int

    @property
    def completed(self) -> int:
        """How many messages are through, with all that belongs to them."""

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come."""

    @property
    def readers(self) -> Sequence[tuple[Connection, Callable[[], None]]]:
        """What to call when a connection can be read; raises Violation or another BenchError."""

    def send(self, count: int, at: float) -> None:
        """Send so many messages; their latencies count from ``at``, a perf_counter."""


def filler(body_bytes: int) -> bytes:
    """What follows the number and a space in a body of so many bytes."""
    alphabet = b"the quick brown fox jumps over the lazy dog "
    return (alphabet * (body_bytes // len(alphabet) + 1))[: body_bytes - _DIGITS - 1]


class EchoLane:
    """One connection; a message is through when it has come back."""

    def __init__(self, connection: Connection, body_bytes: int, samples: Samples) -> None:
        self.sent = 0
        self.completed = 0
        self._connection = connection
        self._template = frame_head(body_bytes) + b"%d " + filler(body_bytes)
        self._times: deque[float] = deque()
        self._latencies = samples.deliveries

    @property
    def settled(self) -> bool:
        return self.completed == self.sent

    @property
    def readers(self) -> Sequence[tuple[Connection, Callable[[], None]]]:
        return [(self._connection, self._read)]

    def send(self, count: int, at: float) -> None:
        numbers = range(FIRST + self.sent + 1, FIRST + self.sent + 1 + count)
        self.sent += count
        self._times.extend([at] * count)
        self._connection.send(b"".join([self._template % number for number in numbers]))

    def _read(self) -> None:
        batch = self._connection.receive()
        now = perf_counter()
        data, completed = batch.data, self.completed
        for start, _ in batch.spans:
            completed += 1
            if data[start : start + _DIGITS] != b"%d" % (FIRST + completed) or completed > self.sent:
                raise Violation(f"echo {completed} of {self.sent} is {data[start : start + 40]!r}")
            self._latencies.append(now - self._times.popleft())
        self.completed = completed


class ChatLane:
    """One person writes to another, who reads it on a connection of their own, or is away.

    A message is through when its sender has the reply and its reader the event. The sender, being a member as well,
    must get each event too.
    """

    def __init__(
        self, sender: Connection, reader: Connection | None, to: str, body_bytes: int, samples: Samples
    ) -> None:
        self.sent = 0
        self._sender = sender
        self._reader = reader
        command = b'{"id":%%d,"type":"message.send","client_id":"m-%%d","to":"%b","text":"%%d %b"}'
        command %= (to.encode(), filler(body_bytes))
        self._template = frame_head(len(command % (FIRST, FIRST, FIRST))) + command
        self._unacked: dict[int, float] = {}
        self._undelivered: deque[float] = deque()
        self._own = 0
        self._delivered = 0
        self._samples = samples

    @property
    def completed(self) -> int:
        acked = self.sent - len(self._unacked)
        return acked if self._reader is None or acked < self._delivered else self._delivered

    @property
    def settled(self) -> bool:
        return self.completed == self.sent and self._own == self.sent

    @property
    def readers(self) -> Sequence[tuple[Connection, Callable[[], None]]]:
        readers: list[tuple[Connection, Callable[[], None]]] = [(self._sender, self._read_sender)]
        if self._reader is not None:
            readers.append((self._reader, self._read_reader))
        return readers

    def send(self, count: int, at: float) -> None:
        numbers = range(self.sent + 1, self.sent + 1 + count)
        self.sent += count
        self._unacked.update(dict.fromkeys(numbers, at))
        if self._reader is not None:
            self._undelivered.extend([at] * count)
        template = self._template
        self._sender.send(b"".join([template % ((FIRST + number,) * 3) for number in numbers]))

    def _read_sender(self) -> None:
        batch = self._sender.receive()
        now = perf_counter()
        data, acks = batch.data, self._samples.acks
        for start, stop in batch.spans:
            if data.startswith(_REPLY, start):
                acks.append(now - self._acked(data, start, stop))
            elif data.startswith(_CREATED, start):
                self._own += 1
                self._check_event(data, start, stop, self._own)
            else:
                _ignore_only_openings(data, start, stop)

    def _read_reader(self) -> None:
        assert self._reader is not None
        batch = self._reader.receive()
        now = perf_counter()
        data, deliveries = batch.data, self._samples.deliveries
        for start, stop in batch.spans:
            if data.startswith(_CREATED, start):
                self._delivered += 1
                self._check_event(data, start, stop, self._delivered)
                deliveries.append(now - self._undelivered.popleft())
            else:
                _ignore_only_openings(data, start, stop)

    def _acked(self, data: bytes, start: int, stop: int) -> float:
        """When the message that is acknowledged here was sent."""
        if data.find(_OK, start, stop) < 0:
            raise Violation(f"a message was refused: {_text(data, start, stop)}")
        number = read_number(data, _REPLY, start, stop) - FIRST
        sent = self._unacked.pop(number, None)
        if sent is None or read_number(data, _SEQ, start, stop) != number:
            raise Violation(f"message {number} of {self.sent} was acknowledged as {_text(data, start, stop)}")
        return sent

    def _check_event(self, data: bytes, start: int, stop: int, expected: int) -> None:
        number = read_number(data, _TEXT, start, stop, _DIGITS) - FIRST
        if number != expected or expected > self.sent or read_number(data, _SEQ, start, stop) != expected:
            raise Violation(f"event {expected} of {self.sent} is {_text(data, start, stop)}")


def read_number(data: bytes, name: bytes, start: int, stop: int, digits: int = 0) -> int:
    """The number behind ``name`` in the frame at ``start``: so many digits, or all up to the next comma."""
    try:
        at = data.index(name, start, stop) + len(name)
        return int(data[at : at + digits if digits else data.index(b",", at, stop)])
    except ValueError:
        raise Violation(f"no number behind {name.decode()} in {_text(data, start, stop)}") from None


def _ignore_only_openings(data: bytes, start: int, stop: int) -> None:
    """A first message opens its conversation, of which both people are told once; nothing else is expected."""
    if not data.startswith(_OPENED, start):
        raise Violation(f"this was not expected: {_text(data, start, stop)}")


def _text(data: bytes, start: int, stop: int) -> str:
    return data[start:stop].decode("utf-8", "replace")[:400]
