"""What is promised about the epoch of a database."""

from collections.abc import Awaitable, Callable

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.store.epochs import PostgresEpochs
from chatd.store.memory.epochs import MemoryEpochs
from chatd.store.pool import Pool

Epochs = MemoryEpochs | PostgresEpochs
ELSEWHERE = "elsewhere"


@pytest.fixture
def move(epochs: Epochs, request: pytest.FixtureRequest) -> Callable[[], Awaitable[None]]:
    """Have the database be another place than that where its epoch began."""

    async def move() -> None:
        if isinstance(epochs, MemoryEpochs):
            epochs.here = ELSEWHERE
        else:
            pool: Pool = request.getfixturevalue("pool")
            await pool.query(f"UPDATE chatd.epoch SET place = '{ELSEWHERE}'", writes=True)

    return move


@pytest_twisted.ensureDeferred
async def test_an_epoch_lasts(epochs: Epochs) -> None:
    name = await epochs.settle()
    epoch = await epochs.current()
    assert (epoch.name, epoch.holds) == (name, True)
    assert [await epochs.settle(), await epochs.current()] == [name, epoch]


@pytest_twisted.ensureDeferred
async def test_where_the_database_has_moved_another_one_begins(
    epochs: Epochs, move: Callable[[], Awaitable[None]]
) -> None:
    before = await epochs.settle()
    since = (await epochs.current()).since
    await move()
    moved = await epochs.current()
    assert (moved.name, moved.holds) == (before, False)
    name = await epochs.settle()
    epoch = await epochs.current()
    assert name != before
    assert (epoch.name, epoch.holds) == (name, True)
    assert epoch.since > since


@pytest_twisted.ensureDeferred
async def test_all_who_find_it_moved_at_once_agree(epochs: Epochs, move: Callable[[], Awaitable[None]]) -> None:
    before = await epochs.settle()
    await move()
    names = await gatherResults([Deferred.fromCoroutine(epochs.settle()) for _ in range(5)])
    assert set(names) == {(await epochs.current()).name}
    assert before not in names


@pytest_twisted.ensureDeferred
async def test_it_can_be_renewed(epochs: Epochs, move: Callable[[], Awaitable[None]]) -> None:
    names = [await epochs.settle(), await epochs.renew()]
    await move()
    names.append(await epochs.renew())
    assert len(set(names)) == 3
    epoch = await epochs.current()
    assert (epoch.name, epoch.holds) == (names[-1], True)
    assert await epochs.settle() == names[-1]


@pytest_twisted.ensureDeferred
async def test_the_first_one_may_begin_by_being_renewed(epochs: Epochs) -> None:
    assert await epochs.renew() == await epochs.settle()
