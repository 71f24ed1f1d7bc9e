"""Listening sockets that systemd hands over (sd_listen_fds(3), systemd.socket(5))."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from chatd.settings.base import SettingsError

FIRST = 3
SOURCE = "LISTEN_FDS"


def first_environment() -> dict[str, str]:
    """The environment that this process began with (proc(5)).

    Twisted takes LISTEN_FDS out of ``os.environ`` for endpoints of its own as soon as they are imported, and keeps to
    itself how many there are.
    """
    pairs = Path("/proc/self/environ").read_bytes().split(b"\0")
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in (pair.partition(b"=") for pair in pairs)}


def inherited(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """The sockets for this process, which are ours from now on; none where systemd meant another one or nobody.

    To be called before twistd becomes a daemon, which has another process id. Raises SettingsError for what cannot be
    served on.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return []
    try:
        count = int(environ.get("LISTEN_FDS", ""))
    except ValueError as error:
        raise SettingsError("socket", SOURCE, "is not a number of descriptors") from error
    return [_listening(descriptor) for descriptor in range(FIRST, FIRST + count)]


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        found = socket.socket(fileno=descriptor)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SettingsError("socket", SOURCE, f"descriptor {descriptor} is no socket: {error.strerror}") from error
    if found.type is not socket.SOCK_STREAM or not listens:
        raise SettingsError("socket", SOURCE, f"descriptor {descriptor} does not listen; use ListenStream=")
    found.setblocking(False)
    return found
