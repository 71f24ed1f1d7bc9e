"""What the system gives this process: memory and descriptors."""

import ctypes
import os
import resource
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

log = Logger()

RESERVED_DESCRIPTORS: Final = 64
"""For everything but clients and the pool: what listens, the bus, the log, questions to auth services."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_memory() -> Callable[[], int]:
    """What says how many bytes of this process are in memory (proc(5), statm), be there descriptors left or not."""
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    return lambda: int(os.pread(statm, 128, 0).split()[1]) * _PAGE


def releasing() -> Callable[[], object]:
    """What gives free memory back to the system: glibc's malloc_trim(3), which other C libraries do not have."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else (lambda: trim(0))


def allow_many_descriptors() -> None:
    """As many as this process may have, its children too: often far more than it is given to begin with.

    Where that is not permitted, by a filter of system calls for instance, it makes do with what it has.
    """
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:
        log.warn("there are {soft} descriptors, and no more may be had: {error}", soft=soft, error=str(error))


def sockets_for_clients(pool_size: int) -> int:
    """How many clients there are descriptors for, so that some are left for a database that has to be reached anew.

    Where there are very few, two in three are for clients.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - min(RESERVED_DESCRIPTORS + pool_size, limit // 3)
