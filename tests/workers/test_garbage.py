"""The garbage collector is asked to look rarely, and still finds what only it can free."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from chatd.workers.garbage import YOUNG, look_for_cycles_rarely


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_left_out_and_new_cycles_are_found_in_the_end() -> None:
    look_for_cycles_rarely()
    assert gc.get_freeze_count() > 0
    gone = weakref.ref(Cycle())
    assert gone() is not None
    kept = [Cycle() for _ in range(2 * YOUNG)]
    assert kept
    assert gone() is None
