"""Pools for the tests of the store, a way past them to the database, and what they logged."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.logger import LogLevel, globalLogPublisher

from chatd.store.pool import Pool
from tests.kit.postgres import Cluster


@pytest.fixture(scope="session")
def shared_dsn(cluster: Cluster) -> str:
    """A database for tests that leave nothing behind: making one for each takes longer than most of them."""
    return cluster.create_database()


@pytest.fixture
def sql(dsn: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs one statement beside the pool, while the reactor stands still, and gives its rows."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True

        def run(statement: str, *params: Any) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, params or None)
                return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def start_pool(request: pytest.FixtureRequest) -> Iterator[Callable[..., Pool]]:
    """Starts a pool (on the test's own database, unless a DSN is given), which is stopped after the test."""
    started: list[Pool] = []

    def start(dsn: str | None = None, **settings: Any) -> Pool:
        settings = {"size": 2, "grace": 0.1, **settings}
        pool = Pool(reactor, dsn or request.getfixturevalue("dsn"), **settings)
        pool.startService()
        started.append(pool)
        return pool

    yield start
    for pool in started:
        pytest_twisted.blockon(pool.stopService())


@pytest.fixture
def errors_logged() -> Iterator[list[dict[str, Any]]]:
    """What was logged as an error or worse: unhandled failures, tracebacks from the reactor."""
    events: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"] in (LogLevel.error, LogLevel.critical):
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)
