"""What the system gives a process."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from chatd.workers.resources import (
    RESERVED_DESCRIPTORS,
    allow_many_descriptors,
    releasing,
    sockets_for_clients,
)

MEGABYTE = 1 << 20


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Gives this process fewer descriptors for a while."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda soft: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_it_takes_as_many_descriptors_as_it_may_have(limit: Callable[[int], None]) -> None:
    limit(1024)
    allow_many_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


def test_where_it_may_not_ask_for_more_it_goes_on_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def refuse(*whatever: object) -> None:
        """What Python makes of EPERM."""
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    allow_many_descriptors()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_some_descriptors_are_not_for_clients(limit: Callable[[int], None]) -> None:
    limit(1024)
    assert sockets_for_clients(8) == 1024 - RESERVED_DESCRIPTORS - 8
    limit(180)
    assert sockets_for_clients(8) == 120, "two in three, where there are few"


SMALL_BLOCKS = """
from chatd.workers.resources import releasing, resident_memory
release, resident = releasing(), resident_memory()
before = resident()
# Of a size that malloc keeps, with one left standing at the end.
blocks = [bytes(4000) + b"x" for _ in range(16_000)]
taken = resident() - before
del blocks[:-1]
release()
print(taken, resident() - before)
"""


def test_what_small_blocks_took_is_given_back() -> None:
    """In a process that has nothing free to begin with."""
    told = subprocess.run([sys.executable, "-c", SMALL_BLOCKS], stdout=subprocess.PIPE, text=True, check=True).stdout
    taken, left = map(int, told.split())
    assert taken > 50 * MEGABYTE
    assert left < 20 * MEGABYTE


def test_where_nothing_can_be_given_back_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    releasing()()
