"""Fixtures that all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.kit.postgres import Cluster

# How long an example takes says more about the machine than about the code.
settings.register_profile("chatd", deadline=None)
settings.load_profile("chatd")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A PostgreSQL server of this run's own. A test that stops it starts it again."""
    cluster = Cluster.start_new(tmp_path_factory.mktemp("postgres"))
    yield cluster
    cluster.close()


@pytest.fixture
def dsn(cluster: Cluster) -> Iterator[str]:
    """An empty database, gone after the test: hundreds of them would take minutes to remove at the end."""
    dsn = cluster.create_database()
    yield dsn
    cluster.drop_database(dsn)
