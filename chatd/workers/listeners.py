"""The sockets that chatd listens on. Whoever supervises holds them, so that they outlast every worker.

For TCP there is one socket for each worker, all on the same address (SO_REUSEPORT, socket(7)): the kernel spreads
connects evenly over them, where a single one that all share would leave that to chance. A worker's connects wait in its
own socket while it is replaced or started again. UNIX sockets have nothing like that: there is one for all.
"""

# Twisted's errors are not annotated.
# mypy: allow-untyped-calls

import errno
import os
import socket
import stat
from contextlib import suppress
from ipaddress import ip_address

from twisted.internet.error import CannotListenError

from chatd.settings.base import SettingsError
from chatd.settings.model import Settings
from chatd.settings.rules import is_loopback
from chatd.workers.activation import SOURCE

BACKLOG = 1024
"""Connects that may wait to be accepted: after a restart all clients come back at once."""
UNIX = "unix:"
SOCKET_MODE = 0o660
"""Of a UNIX socket: for the proxy, put its user into chatd's group."""


class Listeners:
    """Sockets that listen; with ``path``, the name of the only one, which goes away with it."""

    def __init__(self, own: list[list[socket.socket]], path: str = "") -> None:
        self._own = own
        self._path = path

    def of(self, number: int) -> list[socket.socket]:
        """What this worker is to accept from; workers are counted from 1."""
        return self._own[number - 1]

    @property
    def address(self) -> str:
        """Where clients connect: ``host:port``, or a path behind :data:`UNIX`."""
        name = self._own[0][0].getsockname()
        if not isinstance(name, tuple):
            return UNIX + os.fsdecode(name)
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """From now on connects are refused, once the workers have closed theirs; what nobody accepted is reset."""
        for sockets in self._own:
            for one in sockets:
                one.close()
        if self._path:
            with suppress(FileNotFoundError):
                os.unlink(self._path)


def listen(settings: Settings, inherited: list[socket.socket], workers: int) -> Listeners:
    """Listen on what systemd has handed over, or else on the UNIX socket or the address that the settings name.

    Raises CannotListenError.
    """
    if inherited:
        return Listeners([inherited] * workers)
    if settings.socket:
        return Listeners([[_unix(settings.socket)]] * workers, settings.socket)
    return Listeners([[one] for one in _tcp(settings.host, settings.port, workers)])


def check_inherited(settings: Settings, inherited: list[socket.socket]) -> None:
    """Raise SettingsError where plain text would be read on other machines: the settings' own host does not tell."""
    if settings.tls.given or settings.behind_proxy:
        return
    for one in inherited:
        if one.family != socket.AF_UNIX and not is_loopback(one.getsockname()[0]):
            raise SettingsError(
                "socket",
                SOURCE,
                f"{one.getsockname()[0]} is reached from other machines, and tokens would travel unencrypted:"
                " set tls.certificate and tls.key, or behind_proxy if a proxy ends TLS",
            )


def _tcp(host: str, port: int, workers: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        if port:
            _refuse_taken(host, port)
        for _ in range(workers):
            sockets.append(_bound(host, port, shared=True))
            sockets[-1].listen(BACKLOG)
            port = sockets[0].getsockname()[1]
    except OSError as error:
        for one in sockets:
            one.close()
        raise CannotListenError(host, port, error) from error
    return sockets


def _refuse_taken(host: str, port: int) -> None:
    """Another chatd of the same user would share the port without a word: see whether somebody listens there."""
    _bound(host, port, shared=False).close()


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if host != "localhost" and ip_address(host).version == 6 else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
    except OSError:
        one.close()
        raise
    return one


def _unix(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _remove_abandoned(path)
        # The name appears with the mode that it is to have: a later chmod would leave a moment open.
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            one.bind(path)
        finally:
            os.umask(before)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise CannotListenError(None, path, error) from error
    return one


def _remove_abandoned(path: str) -> None:
    """Remove the name of a socket that nobody listens on, which a chatd that was killed has left."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "is there and is no socket", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, "another process listens there", path)
