"""Where chatd listens besides a port of its own: a UNIX socket for a proxy, and sockets that systemd has opened."""

import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.sync.client import unix_connect

from chatd.workers.listeners import SOCKET_MODE
from tests.kit.clients import JSON, headers
from tests.kit.server import Sections
from tests.kit.tokens import AuthService
from tests.kit.waiting import WITHIN_S, wait_for
from tests.kit.workers import WorkersServer, gone, stopped


def get(connect: Callable[[], socket.socket], path: str) -> int:
    """The status of a request on a connection of its own."""
    with closing(HTTPConnection("localhost", timeout=WITHIN_S)) as connection:
        connection.sock = connect()
        connection.request("GET", path)
        return connection.getresponse().status


def unix(path: Path) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(WITHIN_S)
    one.connect(os.fspath(path))
    return one


# -- a UNIX socket --


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatd.sock"


@pytest.fixture
def on_socket(path: Path) -> Sections:
    return {"": {"socket": str(path)}}


def test_all_workers_serve_http_and_websockets_on_one_unix_socket(
    start_workers: Callable[..., WorkersServer], on_socket: Sections, path: Path, auth: AuthService
) -> None:
    server = start_workers(2, on_socket)
    assert stat.S_IMODE(path.stat().st_mode) == SOCKET_MODE
    for other in (1, 2):
        with stopped(server.worker(other)), ExitStack() as stack:
            assert get(lambda: unix(path), "/readyz") == 200
            client = unix_connect(
                os.fspath(path),
                "ws://localhost/v1/ws",
                subprotocols=[JSON],
                additional_headers=headers(auth.token("alice"), None),
            )
            assert '"hello"' in str(stack.enter_context(client).recv(timeout=WITHIN_S))
    assert server.stop() == 0
    assert not path.exists()


def test_it_stays_while_workers_are_replaced_or_killed(
    start_workers: Callable[..., WorkersServer], on_socket: Sections, path: Path
) -> None:
    server = start_workers(2, on_socket)
    server.reload_all()
    os.kill(server.worker(1), signal.SIGKILL)
    for _ in range(20):
        assert get(lambda: unix(path), "/healthz") == 200
    assert stat.S_IMODE(path.stat().st_mode) == SOCKET_MODE


def test_the_name_that_one_which_was_killed_left_is_taken_over(
    start_workers: Callable[..., WorkersServer], on_socket: Sections, path: Path
) -> None:
    server = start_workers(1, on_socket)
    orphans = server.workers
    server.kill()
    wait_for(lambda: all(gone(pid) for pid in orphans))
    assert path.exists()
    server.start()
    assert get(lambda: unix(path), "/readyz") == 200


@pytest.mark.parametrize("taken", ["a file", "another server"])
def test_a_name_that_is_somebody_elses_is_left_alone(
    taken: str, start_workers: Callable[..., WorkersServer], on_socket: Sections, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        if taken == "a file":
            path.write_text("precious")
        else:
            other.bind(os.fspath(path))
            other.listen()
        with pytest.raises(AssertionError, match="chatd cannot go on: Couldn't listen on"):
            start_workers(1, on_socket)
    assert path.exists()


def test_one_process_serves_it_too(
    start_workers: Callable[..., WorkersServer], on_socket: Sections, path: Path
) -> None:
    server = start_workers(0, on_socket, ready=False)
    wait_for(lambda: get(lambda: unix(path), "/readyz") == 200)
    assert server.stop() == 0
    assert not path.exists()


def test_the_client_behind_a_unix_socket_is_whom_a_proxy_there_announces(
    start_workers: Callable[..., WorkersServer], path: Path
) -> None:
    proxies = {"trusted": ["unix"], "proxy_protocol": True}
    server = start_workers(0, {"": {"socket": str(path), "log_level": "debug"}, "proxies": proxies}, ready=False)
    with unix(path) as announced, unix(path) as silent:
        announced.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n")
        announced.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.66\r\n\r\n")
        assert announced.recv(15) == b"HTTP/1.1 200 OK"
        silent.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert silent.recv(15) == b""
    wait_for(lambda: "GET /healthz 200 for None at 192.0.2.7\n" in server.log)
    assert "has no PROXY header: it does not begin as one\n" in server.log


# -- sockets from systemd --

AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class ActivatedServer(WorkersServer):
    """Is given a listening socket as descriptor 3, as systemd does (sd_listen_fds(3))."""

    listening: socket.socket

    def _command(self) -> list[str]:
        return [sys.executable, "-c", AS_SYSTEMD, str(self.listening.fileno()), *super()._command()]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


@pytest.mark.parametrize("workers", [0, 2])
def test_a_socket_from_systemd_is_served_and_outlasts_the_server(
    workers: int, tmp_path: Path, dsn: str, auth: AuthService, listening: socket.socket
) -> None:
    server = ActivatedServer(tmp_path, dsn, auth, workers)
    server.listening = listening
    server.port = listening.getsockname()[1]
    server.environment = {"LISTEN_FDS": "1"}
    server.pass_fds = (listening.fileno(),)

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", server.port), WITHIN_S)

    try:
        server.start(ready=False)
        wait_for(lambda: get(connect, "/readyz") == 200)
        assert server.stop() == 0
        with connect() as waiting:
            waiting.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            server.start(ready=False)
            assert waiting.recv(15).startswith(b"HTTP/1.1 ")
    finally:
        server.close()


# -- what systemd is told --


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def hears(self, word: str) -> bool:
        """Whether a message with it has come, since :meth:`forget`."""
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        return any(word in message.split("\n") for message in self.heard)

    def forget(self) -> None:
        self.hears("")
        self.heard.clear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_systemd_hears_of_readiness_and_of_the_end(
    workers: int, tmp_path: Path, dsn: str, auth: AuthService, systemd: Systemd
) -> None:
    server = WorkersServer(tmp_path, dsn, auth, workers)
    server.environment = {"NOTIFY_SOCKET": systemd.path}
    try:
        server.start(ready=False)
        wait_for(lambda: systemd.hears("READY=1"))
        assert not systemd.hears("WATCHDOG=1"), "nobody asked for it"
        server.stop()
        assert systemd.hears("STOPPING=1")
    finally:
        server.close()


def test_systemd_hears_of_reloads_and_whether_the_workers_live(
    tmp_path: Path, dsn: str, auth: AuthService, systemd: Systemd
) -> None:
    server = WorkersServer(tmp_path, dsn, auth, 2)
    server.environment = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "1000000"}
    try:
        server.start()
        wait_for(lambda: systemd.hears("READY=1") and systemd.hears("WATCHDOG=1"))
        assert systemd.hears("STATUS=2 of 2 workers ready")
        systemd.forget()
        server.reload()
        wait_for(lambda: systemd.hears("RELOADING=1"))
        assert any("MONOTONIC_USEC=" in message for message in systemd.heard)
        wait_for(lambda: systemd.hears("READY=1"))
        with stopped(server.worker(1)):
            wait_for(lambda: systemd.hears("STATUS=1 of 2 workers ready"))
            systemd.forget()
            assert not _within(2.0, lambda: systemd.hears("WATCHDOG=1"))
        wait_for(lambda: systemd.hears("WATCHDOG=1"))
    finally:
        server.close()


def _within(seconds: float, look: Callable[[], bool]) -> bool:
    with suppress(AssertionError):
        return wait_for(look, within=seconds)
    return False
