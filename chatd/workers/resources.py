"""What the system gives this process: memory and descriptors."""

import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

RESERVED_DESCRIPTORS: Final = 64
"""For everything but clients and the pool: what listens, the bus, the log, questions to auth services."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """How much of this process is in memory (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE


def releasing() -> Callable[[], object]:
    """What gives free memory back to the system: glibc's malloc_trim(3), which other C libraries do not have."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else (lambda: trim(0))


def allow_many_descriptors() -> None:
    """As many as this process may have, its children too: often far more than it is given to begin with."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def sockets_for_clients(pool_size: int) -> int:
    """How many clients there are descriptors for, so that some are left for a database that has to be reached anew.

    Where there are very few, three in four are for clients.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - min(RESERVED_DESCRIPTORS + pool_size, limit // 4)
