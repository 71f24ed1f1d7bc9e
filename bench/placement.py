"""Which worker has which connection: the kernel spreads them, and says so in /proc (proc(5))."""

import os
from collections.abc import Iterator
from pathlib import Path

from bench.processes import children

_ESTABLISHED = "01"


def workers_of(parent: int, port: int) -> dict[int, int]:
    """The worker process at the other end, by the port at this end, of connections to ``port`` of loopback."""
    near_ends = dict(parse_tcp(Path("/proc/net/tcp").read_text(), port))
    return {near_ends[inode]: worker for worker in children(parent) for inode in _sockets(worker) if inode in near_ends}


def parse_tcp(table: str, port: int) -> Iterator[tuple[str, int]]:
    """Read /proc/net/tcp: inodes of accepted sockets of ``port``, and the port that the peer of each has."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        local, remote, state, inode = fields[1], fields[2], fields[3], fields[9]
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
            yield inode, int(remote.rpartition(":")[2], 16)


def _sockets(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            # Closed meanwhile.
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]
