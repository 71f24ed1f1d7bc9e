"""What Redis says on a connection that has subscribed, taken apart (the Redis serialization protocol, version 2).

txredisapi gives each part of an array a turn of the reactor of its own: three turns for a message, with everything that
came behind it copied in each.
"""

END = b"\r\n"
PARTS = 3
"""The kind, the channel, and the payload or how many channels there are by now."""
LONGEST_LINE = 64

Push = list[bytes]


class Pushes:
    """Takes bytes as they come. Nothing that is longer than ``most`` bytes is waited for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""

    def take(self, data: bytes) -> list[Push]:
        """What is whole by now. Raises ValueError for anything but pushes, an error among them."""
        buffer, at, whole = self._rest + data, 0, []
        while (found := self._push(buffer, at)) is not None:
            push, at = found
            whole.append(push)
        self._rest = buffer[at:]
        return whole

    def _push(self, buffer: bytes, at: int) -> tuple[Push, int] | None:
        """The push that begins there and where it ends, if it is whole."""
        if (head := _number(buffer, at, b"*")) is None:
            return None
        parts, at = head
        if parts != PARTS:
            raise ValueError(f"an array of {parts}")
        push = []
        for _ in range(PARTS):
            kind = buffer[at : at + 1]
            if (head := _number(buffer, at, b"$:")) is None:
                return None
            number, at = head
            if kind == b":":
                push.append(b"%d" % number)
                continue
            if not 0 <= number <= self._most:
                raise ValueError(f"a text of {number} bytes")
            if len(buffer) < at + number + len(END):
                return None
            push.append(buffer[at : at + number])
            at += number + len(END)
        return push, at


def _number(buffer: bytes, at: int, kinds: bytes) -> tuple[int, int] | None:
    """The number on the line that begins there and where the next one begins, if it is whole."""
    end = buffer.find(END, at)
    if end < 0 and len(buffer) - at <= LONGEST_LINE:
        return None
    if end < 0 or buffer[at] not in kinds:
        raise ValueError(buffer[at : end if end > 0 else None].decode("utf-8", "backslashreplace"))
    return int(buffer[at + 1 : end]), end + len(END)
