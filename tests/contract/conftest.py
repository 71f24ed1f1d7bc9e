"""Every implementation of a seam, behind one fixture each."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chatd.store.epochs import PostgresEpochs, new_epoch
from chatd.store.memory.epochs import MemoryEpochs
from chatd.store.pool import Pool
from tests.kit.postgres import Cluster
from tests.kit.stores import Stores, memory_stores, migrated, postgres_stores


@pytest.fixture(scope="session")
def migrated_dsn(cluster: Cluster) -> str:
    """A database with chatd's tables. Its tests use conversations and people of their own."""
    return cluster.create_database()


@pytest.fixture(scope="module")
def pool(migrated_dsn: str) -> Iterator[Pool]:
    pool = Pool(reactor, migrated_dsn, size=4)
    pool.startService()
    pytest_twisted.blockon(Deferred.fromCoroutine(migrated(pool)))
    yield pool
    pytest_twisted.blockon(pool.stopService())


@pytest.fixture
def unforeseen() -> Iterator[list[BaseException]]:
    """What the store did not foresee; a test that expects something takes it out."""
    errors: list[BaseException] = []
    yield errors
    assert errors == []


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest, unforeseen: list[BaseException]) -> Stores:
    """The store, empty as far as the test can see."""
    if request.param == "memory":
        return memory_stores(lambda: datetime.now(UTC))
    return postgres_stores(request.getfixturevalue("pool"), unforeseen.append)


@pytest.fixture(params=["memory", "postgres"])
def epochs(request: pytest.FixtureRequest) -> MemoryEpochs | PostgresEpochs:
    """The epoch of a database."""
    if request.param == "memory":
        return MemoryEpochs(lambda: datetime.now(UTC), new_epoch)
    return PostgresEpochs(request.getfixturevalue("pool"), new_epoch)
