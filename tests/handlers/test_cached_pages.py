"""With the cache everybody reads what they would read without it, whatever happens in between."""

from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest

from chatd.store.memory.database import MemoryDatabase
from chatd.store.stores import memory_stores
from tests.kit.compared import compared
from tests.kit.lives import live
from tests.kit.machine import SETTINGS, Machine
from tests.kit.world import Chat


@pytest.mark.parametrize("newest", [3, 501])
def test_the_last_page_is_the_same_with_the_cache_and_without(newest: int) -> None:
    """501 is what the comparison with the model asks for."""
    seconds = count()
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    stores, pages = compared(memory_stores(MemoryDatabase(lambda: now + timedelta(seconds=next(seconds)))), newest)
    machine = Machine(Chat(stores=stores, **SETTINGS))
    chance = Random(newest)
    for _ in range(6):
        live(machine, chance, 8)
        for person in machine.people:
            for conversation in machine.ids.values():
                for limit in (1, 2, 500):
                    machine.answer(machine.chat.http(person), "history.get", conversation=conversation, limit=limit)
    assert pages.shelf.hits > 50
    assert pages.shelf.refusals == 0
