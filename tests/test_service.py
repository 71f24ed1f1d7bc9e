"""What is decided where the parts come together."""

import os

import pytest

from chatd.service import worker_count
from chatd.settings.model import Settings


@pytest.mark.parametrize("workers", [0, 1, 7])
def test_there_are_as_many_workers_as_are_asked_for(workers: int) -> None:
    assert worker_count(Settings(workers=workers)) == workers


def test_auto_is_a_worker_for_each_core_that_this_process_may_use() -> None:
    may_use = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(may_use)})
    try:
        assert worker_count(Settings(workers="auto")) == 1
    finally:
        os.sched_setaffinity(0, may_use)
    assert worker_count(Settings(workers="auto")) == len(may_use)
