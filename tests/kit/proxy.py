"""A loopback TCP relay that fails on demand: cut, blackhole, delay, and the lost reply.

It runs in threads of its own, so that it serves tests that block as well as tests that run the reactor. The
server behind it is given as ``(host, port)`` or as the path of a UNIX socket.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from psycopg2.extensions import make_dsn, parse_dsn

from tests.kit.ports import reserve_port

Address = tuple[str, int] | str
CHUNK = 65536
NEEDLE = 64


class LostReply:
    """One wish: forward what matches ``needle``, then withhold the server's answer to it.

    ``struck`` is set once the server has answered and its answer was thrown away.
    """

    def __init__(self, needle: bytes, *, then_cut: bool) -> None:
        self.needle = needle
        self.then_cut = then_cut
        self.struck = threading.Event()


class Relay:
    """One client's connection and its twin to the server, one thread for each direction."""

    def __init__(self, proxy: "Proxy", client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallowing: LostReply | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self) -> None:
        """End both sides; the pumps then end by themselves."""
        for side in (self._client, self._server):
            with suppress(OSError):  # the peer may have been faster
                side.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        back = threading.Thread(target=self._pump, args=(self._server, self._downstream), daemon=True)
        back.start()
        self._pump(self._client, self._upstream)
        back.join()
        self._client.close()
        self._server.close()
        self._proxy.forget(self)

    def _pump(self, source: socket.socket, forward: Callable[[bytes, bytes], None]) -> None:
        tail = b""
        with suppress(OSError):  # either side may vanish at any moment: that is what this is for
            while data := source.recv(CHUNK):
                self._proxy.hold()
                forward(tail, data)
                tail = (tail + data)[-NEEDLE:]
        self.cut()

    def _upstream(self, tail: bytes, data: bytes) -> None:
        self._swallowing = self._swallowing or self._proxy.claim(tail, data)
        self._server.sendall(data)

    def _downstream(self, _: bytes, data: bytes) -> None:
        lost = self._swallowing
        if lost is None:
            self._client.sendall(data)
            return
        lost.struck.set()
        if lost.then_cut:
            self.cut()


class Proxy:
    """Relays ``host:port`` to ``target`` from `start` to `stop`; also a context manager.

    Modes: `passing` (the default), `blackhole` (sockets stay open, nothing is forwarded; bytes go on after
    `passing`, as after a partition), `refuse` (nobody listens). `delay` is in seconds and holds for each chunk.
    """

    def __init__(self, target: Address, host: str = "127.0.0.1") -> None:
        self._target = target
        self._host = host
        self._open = threading.Event()
        self._open.set()
        self._relays: set[Relay] = set()
        self._wishes: list[LostReply] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.delay = 0.0
        self._port = reserve_port()
        self.port: int = self._port.getsockname()[1]
        self.accepted = 0

    def start(self) -> Self:
        """Listen."""
        listener = socket.create_server((self._host, self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and end what is open, for good."""
        self.refuse()
        self._port.close()
        self._open.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def passing(self) -> None:
        """Forward everything, and listen again after `refuse`."""
        self._open.set()
        if self._listener is None:
            self.start()

    def blackhole(self) -> None:
        """Accept and keep connections, and forward nothing either way."""
        self._open.clear()

    def refuse(self) -> None:
        """Refuse new connections, as a machine without the server does, and cut the old ones."""
        if self._listener is not None:
            with suppress(OSError):  # not connected: shutdown still wakes the accepting thread
                self._listener.shutdown(socket.SHUT_RDWR)
            listener, self._listener = self._listener, None
            listener.close()
        self.cut()

    def cut(self) -> None:
        """End every connection that is open now."""
        for relay in tuple(self._relays):
            relay.cut()

    def lose_reply(self, needle: bytes = b"COMMIT", *, then_cut: bool = True) -> LostReply:
        """Let the next client bytes that hold ``needle`` (at most 64 bytes) through, and drop the answer to them.

        Afterwards that connection is cut, or stays open and mute if not ``then_cut``.
        """
        wish = LostReply(needle, then_cut=then_cut)
        with self._lock:
            self._wishes.append(wish)
        return wish

    def claim(self, tail: bytes, data: bytes) -> LostReply | None:
        """The oldest wish that ``data`` fulfils, be it across the end of ``tail``; it is then used up."""
        if not self._wishes:
            return None
        with self._lock:
            for wish in self._wishes:
                overlap = len(wish.needle) - 1
                if wish.needle in (tail[-overlap:] if overlap else b"") + data:
                    self._wishes.remove(wish)
                    return wish
        return None

    def hold(self) -> None:
        """Block the calling pump for as long as the present mode wants it."""
        if self.delay:
            time.sleep(self.delay)
        self._open.wait()

    def forget(self, relay: Relay) -> None:
        self._relays.discard(relay)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed: the end of this thread
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                self._relay(client, listener)

    def _relay(self, client: socket.socket, listener: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:  # the server is down: the client sees its connection end
            client.close()
            return
        relay = Relay(self, client, server)
        self._relays.add(relay)
        relay.start()
        if listener is not self._listener:  # refused meanwhile, which cut only what it saw
            relay.cut()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        server = socket.create_connection(self._target, timeout=5)
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server


def postgres_address(dsn: str) -> Address:
    """Where a DSN's server listens, as `Proxy` takes it."""
    parts = parse_dsn(dsn)
    host, port = parts.get("host", "/var/run/postgresql"), int(parts.get("port", 5432))
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


@contextmanager
def postgres_proxy(dsn: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of ``dsn``, and the DSN that leads through it (without TLS, so that bytes match)."""
    with Proxy(postgres_address(dsn)) as proxy:
        through = make_dsn(dsn, host="127.0.0.1", port=proxy.port, sslmode="disable", gssencmode="disable")
        yield proxy, through
