"""One command at a time on a connection of its own, and how long its reply takes."""

import json
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from bench.connection import Connection
from bench.errors import BenchError, Violation
from bench.frames import frame
from bench.poller import Poller

_WITHIN_S = 60.0
_OK = b'"type":"ok"'
_HEAD_BYTES = 64


class Asker:
    """Asks on ``connection``; events that come meanwhile go to ``heard``, and nowhere without it."""

    def __init__(self, connection: Connection, heard: Callable[[bytes], None] | None = None) -> None:
        self.connection = connection
        self._heard = heard
        self._id = 0
        self.reply = b""

    def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        """The reply; raises Violation where it is an error."""
        self.time(type, **fields)
        reply: dict[str, Any] = json.loads(self.reply)
        return reply

    def time(self, type: str, **fields: Any) -> float:
        """Seconds until the reply had come; raises Violation where it is an error."""
        return ask_together([self], type, **fields)

    def send(self, type: str, fields: dict[str, Any]) -> None:
        """Ask without waiting."""
        self._id += 1
        self.reply = b""
        self.connection.send(frame(json.dumps({"id": self._id, "type": type, **fields}).encode()))

    def read(self) -> None:
        """There is something to read."""
        batch = self.connection.receive()
        head = b'{"id":%d,' % self._id
        for start, stop in batch.spans:
            text = batch.data[start:stop]
            if text.startswith(head):
                self.reply = text
            elif self._heard is not None:
                self._heard(text)


def ask_together(askers: Sequence[Asker], type: str, **fields: Any) -> float:
    """All ask the same: seconds until the last of them has its reply. Raises Violation where one is an error."""
    poller = Poller()
    begun = perf_counter()
    try:
        for asker in askers:
            poller.watch(asker.connection, asker.read)
            asker.send(type, fields)
        while not all(asker.reply for asker in askers):
            if perf_counter() - begun > _WITHIN_S:
                raise BenchError(f"{type} was not answered within {_WITHIN_S:.0f} s")
            poller.wait(1.0)
        seconds = perf_counter() - begun
    finally:
        poller.close()
    for asker in askers:
        if _OK not in asker.reply[:_HEAD_BYTES]:
            raise Violation(f"{type} was refused: {asker.reply[:400]!r}")
    return seconds


def drain(connections: Sequence[Connection]) -> None:
    """Read and forget what has come to these."""
    for connection in connections:
        while connection.receive().data:
            pass


def found_group(owner: Asker, people: Sequence[str], at_once: int = 500, **rules: str) -> tuple[str, int]:
    """A new group of the owner and these: its conversation, and how many entries its log has."""
    made = owner.ask("group.create", client_id="group", title="Everybody", rules=rules)
    seq = made["seq"]
    for first in range(0, len(people), at_once):
        users = list(people[first : first + at_once])
        seq = owner.ask("member.add", client_id=f"add-{first}", conversation=made["conversation"], users=users)["seq"]
    return made["conversation"], seq
