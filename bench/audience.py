"""Messages to many: each must reach every connection once, in one order, with the same bytes for all of them.

Messages are numbered from 1 on, and the senders among the connections take turns. The number stands in the text and,
above FIRST, in the request's id. Where a message arrives first it is read and checked; on every other connection the
same bytes must stand at the same place, so that a gap, a repeat or another order on any of them is a Violation.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Final

from bench.connection import Connection
from bench.errors import Violation
from bench.frames import frame_head
from bench.lanes import FIRST, Samples, filler, read_number

_DIGITS = 8
_REPLY = b'{"id":'
_OK = b'"type":"ok"'
_CREATED = b'{"type":"message.created"'
_SEQ = b'"seq":'
_TEXT = b'"text":"'
# What the beginning of a group leaves on its members' connections.
_BEGINNING = (b'{"type":"conversation.joined"', b'{"type":"group.created"', b'{"type":"member.added"')


class AudienceLane:
    """All connections together, of which the first ``senders`` send. Latencies are of the last to get a message.

    Here a text is a message and nothing else comes, and a message is through when every connection has it.
    """

    parts: Final = 1
    event: bytes = b""

    def __init__(self, members: Sequence[Connection], senders: int, template: bytes, samples: Samples) -> None:
        """``template`` is a frame that takes numbers in the places where it has any."""
        self.sent = 0
        self.completed = 0
        self._members = members
        self._senders = senders
        self._template = template
        self._fields = template.count(b"%d")
        self.samples = samples
        self._times: list[float] = [0.0]
        self._unfinished: dict[int, int] = {}
        self._texts: list[bytes] = []
        self._order: list[int] = []
        self._placed: set[int] = set()
        self._missing: list[int] = []
        self._got = [0] * len(members)

    @property
    def settled(self) -> bool:
        return self.completed == self.sent

    @property
    def text_bytes(self) -> int:
        """How long the last message was when it arrived."""
        return len(self._texts[-1])

    @property
    def readers(self) -> Sequence[tuple[Connection, Callable[[], None]]]:
        return [(connection, partial(self._read, member)) for member, connection in enumerate(self._members)]

    def send(self, count: int, at: float) -> None:
        for number in range(self.sent + 1, self.sent + 1 + count):
            self._times.append(at)
            self._unfinished[number] = self.parts
            self._members[number % self._senders].send(self._template % ((FIRST + number,) * self._fields))
        self.sent += count

    def _read(self, member: int) -> None:
        batch = self._members[member].receive()
        now = perf_counter()
        data, event, texts, got = batch.data, self.event, self._texts, self._got[member]
        for start, stop in batch.spans:
            if not data.startswith(event, start):
                self._read_other(data[start:stop], now)
                continue
            text = data[start:stop]
            if got == len(texts):
                self._append(text)
            elif text != texts[got]:
                raise Violation(f"message {got + 1} of connection {member} is {_shown(text)}")
            self._missing[got] -= 1
            if not self._missing[got]:
                self.samples.deliveries.append(now - self._times[self._order[got]])
                self._finish(self._order[got])
            got += 1
        self._got[member] = got

    def _append(self, text: bytes) -> None:
        """A message has come to the first of them."""
        number = self.number(text, len(self._texts) + 1)
        if number not in self._unfinished or number in self._placed:
            raise Violation(f"this was not sent, or has come before: {_shown(text)}")
        self._placed.add(number)
        self._texts.append(text)
        self._order.append(number)
        self._missing.append(len(self._members))

    def _finish(self, number: int) -> None:
        """One part of what a message needs to be through has come."""
        self._unfinished[number] -= 1
        if not self._unfinished[number]:
            del self._unfinished[number]
            self.completed += 1

    def number(self, text: bytes, place: int) -> int:
        """The number of the message that has come as the one at ``place``, counted from 1."""
        return int(text[:_DIGITS]) - FIRST

    def _read_other(self, text: bytes, now: float) -> None:
        raise Violation(f"this was not expected: {_shown(text)}")


def broadcast(word: bytes, body_bytes: int) -> bytes:
    """The template of a text that Autobahn sends to all, in the way that ``word`` says; ``body_bytes`` arrive."""
    return frame_head(len(word) + body_bytes) + word + b"%d " + filler(body_bytes)


class GroupLane(AudienceLane):
    """The members of a group, whose log had ``base`` entries before: a message needs its sender's reply as well."""

    parts = 2
    event = _CREATED

    def __init__(
        self, members: Sequence[Connection], senders: int, group: bytes, base: int, body_bytes: int, samples: Samples
    ) -> None:
        command = b'{"id":%%d,"type":"message.send","client_id":"m-%%d","conversation":"%b","text":"%%d %b"}'
        command %= (group, filler(body_bytes))
        template = frame_head(len(command % (FIRST, FIRST, FIRST))) + command
        super().__init__(members, senders, template, samples)
        self._base = base
        self._acknowledged: dict[int, int] = {}

    def number(self, text: bytes, place: int) -> int:
        seq = read_number(text, _SEQ, 0, len(text))
        number = read_number(text, _TEXT, 0, len(text), _DIGITS) - FIRST
        if seq != self._base + place or self._acknowledged.get(number, seq) != seq:
            raise Violation(f"seq {self._base + place} was expected, or that of the reply: {_shown(text)}")
        return number

    def _read_other(self, text: bytes, now: float) -> None:
        if text.startswith(_REPLY):
            self._acknowledge(text, now)
        elif not text.startswith(_BEGINNING):
            super()._read_other(text, now)

    def _acknowledge(self, text: bytes, now: float) -> None:
        if _OK not in text:
            raise Violation(f"a message was refused: {_shown(text)}")
        number = read_number(text, _REPLY, 0, len(text)) - FIRST
        if number not in self._unfinished or number in self._acknowledged:
            raise Violation(f"this was acknowledged before, or never sent: {_shown(text)}")
        self._acknowledged[number] = read_number(text, _SEQ, 0, len(text))
        self.samples.acks.append(now - self._times[number])
        self._finish(number)


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")[:400]
