"""A database with chatd's tables, in which some people have said something."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chatd.store.pool import Pool
from tests.kit.postgres import Cluster
from tests.kit.stores import migrated

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def fresh_dsn(cluster: Cluster) -> str:
    return cluster.create_database()


@pytest.fixture(scope="module")
def pool(fresh_dsn: str) -> Iterator[Pool]:
    pool = Pool(reactor, fresh_dsn, size=2)
    pool.startService()
    pytest_twisted.blockon(Deferred.fromCoroutine(migrated(pool)))
    yield pool
    pytest_twisted.blockon(pool.stopService())


@pytest.fixture
def sql(pool: Pool, fresh_dsn: str) -> Iterator[Sql]:
    """Runs one statement beside the pool, and gives its rows."""
    with closing(psycopg2.connect(fresh_dsn)) as connection:
        connection.autocommit = True

        def run(statement: str, *params: Any) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, params or None)
                return cursor.fetchall() if cursor.description else []

        yield run
        run(
            "TRUNCATE chatd.data_keys, chatd.conversations, chatd.members, chatd.messages, chatd.changes,"
            " chatd.mentions, chatd.search_tokens, chatd.reactions, chatd.reaction_counts, chatd.profiles"
        )
