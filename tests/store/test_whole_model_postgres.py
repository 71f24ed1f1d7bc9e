"""The whole of chatd over PostgreSQL against the model of its rules; see ``tests/handlers/test_whole_model.py``."""

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import pytest_twisted
from greenlet import getcurrent, greenlet
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from chatd.store.pool import Pool
from tests.kit.lives import live
from tests.kit.machine import SETTINGS, Machine
from tests.kit.stores import migrated, postgres_stores
from tests.kit.world import Chat


def settle(deferred: Deferred[Any]) -> Any:
    """Inside of :func:`beside_the_reactor`: wait, while the reactor goes on."""
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch(deferred)


async def beside_the_reactor(run: Callable[[], None]) -> None:
    """Run a function that waits by :func:`settle`."""
    worker = greenlet(run)
    waits_for = worker.switch()
    while not worker.dead:
        try:
            result = await waits_for
        except Exception as error:
            waits_for = worker.throw(error)
        else:
            # What is committed is told to connections right after its author has the reply.
            await deferLater(reactor, 0)
            waits_for = worker.switch(result)


@pytest.mark.parametrize("seed", range(3))
@pytest_twisted.ensureDeferred
async def test_people_live_for_a_while(seed, start_pool: Callable[..., Pool], shared_dsn: str) -> None:
    unforeseen: list[BaseException] = []
    stores = postgres_stores(await migrated(start_pool(shared_dsn)), unforeseen.append)
    machine = Machine(Chat(stores=stores, **SETTINGS), settle, suffix=uuid4().hex[:8])
    await beside_the_reactor(lambda: live(machine, Random(seed), 100))
    assert unforeseen == []
