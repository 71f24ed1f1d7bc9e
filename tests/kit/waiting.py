"""Bounded polling for tests that block: for what another process decides."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_S = 0.02
WITHIN_S = 60.0
"""How long anything may take. Only a test that fails waits as long: the machine may be slow, or stop for a while."""

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], *, within: float = WITHIN_S) -> Found:
    """Look again and again until there is something to see, and give it; fail the test if there is not in time."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(POLL_S)
    return found
