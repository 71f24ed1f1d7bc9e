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


class Asker:
    """Asks on ``connection``; events that come meanwhile go to ``heard``, and nowhere without it."""

    def __init__(self, connection: Connection, heard: Callable[[bytes], None] | None = None) -> None:
        self._connection = connection
        self._heard = heard
        self._id = 0
        self._reply = b""

    def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        """The reply; raises Violation where it is an error."""
        reply: dict[str, Any] = json.loads(self._asked(type, fields)[0])
        if reply["type"] != "ok":
            raise Violation(f"{type} was refused: {reply}")
        return reply

    def time(self, type: str, **fields: Any) -> float:
        """Seconds until the reply had come."""
        reply, seconds = self._asked(type, fields)
        if b'"type":"ok"' not in reply[:64]:
            raise Violation(f"{type} was refused: {reply[:400]!r}")
        return seconds

    def _asked(self, type: str, fields: dict[str, Any]) -> tuple[bytes, float]:
        self._id += 1
        command = {"id": self._id, "type": type, **fields}
        self._reply = b""
        poller = Poller()
        poller.watch(self._connection, self._read)
        begun = perf_counter()
        try:
            self._connection.send(frame(json.dumps(command).encode()))
            while not self._reply:
                if perf_counter() - begun > _WITHIN_S:
                    raise BenchError(f"{type} was not answered within {_WITHIN_S:.0f} s")
                poller.wait(1.0)
            return self._reply, perf_counter() - begun
        finally:
            poller.close()

    def _read(self) -> None:
        batch = self._connection.receive()
        head = b'{"id":%d,' % self._id
        for start, stop in batch.spans:
            text = batch.data[start:stop]
            if text.startswith(head):
                self._reply = text
            elif self._heard is not None:
                self._heard(text)


def found_group(owner: Asker, people: Sequence[str], at_once: int = 500) -> tuple[str, int]:
    """A new group of the owner and these: its conversation, and how many entries its log has."""
    made = owner.ask("group.create", client_id="group", title="Everybody")
    seq = made["seq"]
    for first in range(0, len(people), at_once):
        users = list(people[first : first + at_once])
        seq = owner.ask("member.add", client_id=f"add-{first}", conversation=made["conversation"], users=users)["seq"]
    return made["conversation"], seq
