"""Servers to measure, each a process of its own on a free port of loopback."""

import http.client
import os
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from bench.handshake import upgrade_request
from bench.opening import Entrance
from bench.processes import Meter, family_seconds, process_seconds
from bench.spawning import accepts, free_port, spawn, wait_until
from chatd.security.keyring import MasterKeys
from chatd.security.tokens import SigningKey

_ISSUER = "chatd-bench"
_AUDIENCE = "chatd"
_TOKEN_LIFETIME_S = 3600
_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"

# What differs from chatd's defaults. The generator has one address and many connections, as a proxy would have, and its
# people send as fast as they are answered: rates are limited all the same, beyond what it can do. What else is limited
# stays limited.
_CONFIGURATION = """\
host = "127.0.0.1"
port = {port}
workers = {workers}
[metrics]
port = {metrics_port}
[database]
dsn_file = "{folder}/dsn"
[tokens]
issuer = "{issuer}"
audience = "{audience}"
jwks_file = "{folder}/jwks.json"
[encryption]
master_keys_file = "{folder}/master-keys"
[limits]
max_connections_per_address = 20000
[rates]
read = "100000/s burst 100000"
write = "100000/s burst 100000"
passing = "100000/s burst 100000"
search = "100000/s burst 100000"
connection = "100000/s burst 100000"
address = "1000000/s burst 1000000"
connects_per_address = "100000/s burst 100000"
connects = "100000/s burst 100000"
"""


class Server(ABC):
    """A running server and how to get in. ``pid`` is the process that does the work."""

    port: int
    pid: int

    @property
    @abstractmethod
    def entrance(self) -> Entrance:
        """Where connections are opened, and when they count as open."""

    @abstractmethod
    def request(self, user: str) -> bytes:
        """The upgrade request of this person."""

    @abstractmethod
    def meter(self) -> Meter:
        """Who uses how much of the processor."""


class Echo(Server):
    """Bare Autobahn."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self._request = upgrade_request(port, "/")

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[Self]:
        """A server for the block; its output goes to ``folder``."""
        port = free_port()
        with spawn([sys.executable, "-m", "bench.echo", str(port)], folder / "echo.log") as process:
            wait_until(process, folder / "echo.log", lambda: accepts(port))
            yield cls(port, process.pid)

    @property
    def entrance(self) -> Entrance:
        return Entrance(self.port)

    def request(self, user: str) -> bytes:
        return self._request

    def meter(self) -> Meter:
        return Meter({"server": lambda: process_seconds(self.pid)})


class Chatd(Server):
    """chatd with everything on, in one process or with workers; then ``pid`` is their parent's."""

    def __init__(
        self, port: int, metrics_port: int, pid: int, postgres_pid: int, key: SigningKey, folder: Path
    ) -> None:
        self.port = port
        self._metrics_port = metrics_port
        self.pid = pid
        self._postgres_pid = postgres_pid
        self._key = key
        self._folder = folder

    @classmethod
    @contextmanager
    def started(
        cls,
        folder: Path,
        dsn: str,
        postgres_pid: int,
        workers: int = 0,
        *,
        more: str = "",
        beside: "Chatd | None" = None,
    ) -> Iterator[Self]:
        """A server for the block, on the empty database ``dsn``; its configuration and log go to ``folder``.

        ``more`` is added to its configuration. ``beside`` another one, it has the same database and the same keys.
        """
        port, key = free_port(), beside._key if beside else SigningKey.generate()
        metrics_port = free_port() if workers else 0
        masters = (beside._folder / "master-keys").read_text() if beside else MasterKeys.generate_line("bench-1") + "\n"
        _write(folder / "master-keys", masters)
        configuration = _configure(folder, port, dsn, key, workers, metrics_port, more)
        command = [sys.executable, "-c", _TWISTD, "--nodaemon", "--pidfile=", "chatd", "--config", str(configuration)]
        with spawn(command, folder / "chatd.log") as process:
            wait_until(process, folder / "chatd.log", lambda: _is_ready(metrics_port or port))
            yield cls(port, metrics_port, process.pid, postgres_pid, key, folder)

    @property
    def entrance(self) -> Entrance:
        return Entrance(self.port, b'{"type":"hello"')

    def request(self, user: str) -> bytes:
        now = int(time.time())
        token = self._key.mint(
            user, issuer=_ISSUER, audience=_AUDIENCE, now=now, lifetime=_TOKEN_LIFETIME_S, token_id=os.urandom(8).hex()
        )
        return upgrade_request(self.port, "/v1/ws", subprotocol="chatd.v1.json", token=token)

    def connections(self) -> tuple[int, ...]:
        """How many sockets are open at each worker."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._metrics_port, timeout=5)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return tuple(int(float(value)) for value in re.findall(r"^chatd_connections{.*} (\S+)$", text, re.MULTILINE))

    def meter(self) -> Meter:
        """With workers, the server is all of them and their parent."""
        seconds = family_seconds if self._metrics_port else process_seconds
        return Meter({"server": lambda: seconds(self.pid), "PostgreSQL": lambda: family_seconds(self._postgres_pid)})


def _configure(folder: Path, port: int, dsn: str, key: SigningKey, workers: int, metrics_port: int, more: str) -> Path:
    _write(folder / "dsn", dsn)
    _write(folder / "jwks.json", key.public_jwks().decode())
    text = _CONFIGURATION.format(
        port=port, folder=folder, issuer=_ISSUER, audience=_AUDIENCE, workers=workers, metrics_port=metrics_port
    )
    return _write(folder / "chatd.toml", text + more)


def _write(path: Path, text: str) -> Path:
    """For its owner alone: chatd refuses secrets that others can read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _is_ready(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
