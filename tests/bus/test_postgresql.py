"""The bus over a real PostgreSQL."""

from contextlib import closing
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.bus import carrier as carrier_module
from chatd.bus.postgresql import CHANNEL, MAX_BYTES, PostgresBus, one_channel
from chatd.store.pool import Pool
from tests.kit.postgres import Cluster
from tests.kit.until import until


@pytest.fixture(scope="module")
def bus_dsn(cluster: Cluster) -> str:
    return cluster.create_database()


@pytest.fixture
def two(workers: Any, bus_dsn: str) -> Any:
    pool = Pool(reactor, bus_dsn, size=1)
    return workers(2, lambda bus, authors, hub: PostgresBus(reactor, pool, bus, authors), one_channel, MAX_BYTES)


def sql(dsn: str, statement: str, *params: Any) -> None:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, params or None)


END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query ~ 'LISTEN|pg_notify' AND pid <> pg_backend_pid()
"""


@pytest_twisted.ensureDeferred
async def test_what_one_says_all_hear_once_and_in_order(two: Any) -> None:
    one, other = two
    await until(lambda: one.bus.linked and other.bus.linked)
    for n in range(2000):
        one.ring(str(n))
    await until(lambda: len(other.heard) >= 2000)
    assert one.heard == other.heard == [str(n) for n in range(2000)]
    for worker in two:
        worker.bus.pulse()
    await until(lambda: (one.bus.peers, other.bus.peers) == (1, 1))


@pytest_twisted.ensureDeferred
async def test_what_was_said_while_the_session_was_gone_is_said_when_it_is_back(two: Any, bus_dsn: str) -> None:
    one, other = two
    await until(lambda: one.bus.linked and other.bus.linked)
    sql(bus_dsn, END_ALL)
    one.ring("meanwhile")
    await until(lambda: not other.bus.linked)
    await until(lambda: one.bus.linked and other.bus.linked)
    one.ring("afterwards")
    await until(lambda: "afterwards" in other.heard)
    assert one.bus.links == other.bus.links == 2
    await until(lambda: other.sweep.taken >= 2)


@pytest_twisted.ensureDeferred
async def test_whatever_else_comes_over_the_channel_is_refused(two: Any, bus_dsn: str) -> None:
    one, other = two
    await until(lambda: one.bus.linked and other.bus.linked)
    for payload in ("", "hello", "ä", "AAAA", "x" * 7999):
        sql(bus_dsn, "SELECT pg_notify(%s, %s)", CHANNEL, payload)
    await until(lambda: one.bus.refused == other.bus.refused == 5)
    one.ring("still here")
    await until(lambda: other.heard == ["still here"])


@pytest_twisted.ensureDeferred
async def test_a_worker_that_does_not_hear_itself_says_so_and_links_anew(
    two: Any, monkeypatch: pytest.MonkeyPatch, bus_errors: list[str]
) -> None:
    """As behind a pooler that hands sessions around."""
    one, other = two
    await until(lambda: one.bus.linked and one.bus.sent and other.bus.linked)
    await one.carrier._connection.run(f"UNLISTEN {CHANNEL}")
    monkeypatch.setattr(carrier_module, "DEAF_SECONDS", 0.0)
    one.carrier._beat()
    assert any("PgBouncer" in error for error in bus_errors)
    monkeypatch.undo()
    await until(lambda: one.bus.links == 2)
    other.ring("again")
    await until(lambda: one.heard == ["again"])


@pytest_twisted.ensureDeferred
async def test_it_keeps_trying_while_the_database_is_away(cluster: Cluster, two: Any) -> None:
    one, other = two
    await until(lambda: one.bus.linked and other.bus.linked)
    cluster.stop()
    try:
        await until(lambda: not one.bus.linked and not other.bus.linked)
    finally:
        cluster.start()
    await until(lambda: one.bus.linked and other.bus.linked)
    one.ring("afterwards")
    await until(lambda: other.heard == ["afterwards"])


@pytest_twisted.ensureDeferred
async def test_who_stops_has_said_all_before(two: Any) -> None:
    one, other = two
    await until(lambda: one.bus.linked and other.bus.linked)
    for n in range(500):
        one.ring(str(n))
    await one.carrier.stopService()
    await until(lambda: len(other.heard) == 500)
    await until(lambda: other.bus.peers == 0)
