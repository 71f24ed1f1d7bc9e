"""Presence finds its rows by an index, and looks at no more of them than it has to."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg2
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.records.presence import Lease
from chatd.store import presence
from chatd.store.arrays import text_array
from chatd.store.log import BY_INDEX
from chatd.store.migrate import load
from chatd.store.presence import PostgresPresence
from tests.kit.stores import migrated

WORKER = str(UUID(int=1))
USERS = [f"user-{number}" for number in range(1000)]

# A thousand people in groups of ten and in a hundred conversations each with others who are nobody here.
FILL = f"""
INSERT INTO chatd.workers SELECT format('%s-0000-0000-0000-000000000000', lpad(to_hex(n), 8, '0'))::uuid, now(),
    now() + interval '1 hour' FROM generate_series(2, 200) AS n;
INSERT INTO chatd.workers VALUES ('{WORKER}', now(), now() - interval '1 s');
INSERT INTO chatd.presence SELECT 'user-' || n, w.worker_id, 'online' FROM generate_series(0, 999) AS n,
    (SELECT worker_id FROM chatd.workers ORDER BY worker_id LIMIT 3) AS w;
INSERT INTO chatd.last_seen SELECT 'user-' || n, now() FROM generate_series(0, 9999) AS n;
INSERT INTO chatd.conversations (conversation_id, kind)
    SELECT md5('group-' || n)::uuid, 'group' FROM generate_series(0, 99) AS n;
INSERT INTO chatd.members (conversation_id, user_id)
    SELECT md5('group-' || n / 10)::uuid, 'user-' || n FROM generate_series(0, 999) AS n;
INSERT INTO chatd.conversations (conversation_id, kind)
    SELECT md5(n || '-' || m)::uuid, 'direct' FROM generate_series(0, 999) AS n, generate_series(0, 19) AS m;
INSERT INTO chatd.members (conversation_id, user_id)
    SELECT md5(n || '-' || m)::uuid, u FROM generate_series(0, 999) AS n, generate_series(0, 19) AS m,
    unnest(ARRAY['user-' || n, 'other-' || n || '-' || m]) AS u;
"""

STATEMENTS: dict[str, tuple[str, Any]] = {
    "read": (presence.READ, (text_array(USERS[:500]),)),
    "acquainted": (presence.ACQUAINTED, (text_array(USERS[:1] * 500), text_array(USERS[:500]))),
    "renew": (presence.RENEW, {"worker": WORKER, "seconds": 12.0}),
    "write": (
        presence.WRITE,
        {"worker": WORKER, "users": text_array(USERS), "statuses": text_array(["away"] * len(USERS))},
    ),
    "expired": (presence.EXPIRED, ()),
    "sweep": (presence.SWEEP, {"worker": WORKER, "limit": 100, "at": "2026-01-01T00:00:00Z"}),
    "forget": (presence.FORGET, (WORKER,)),
}


@pytest.fixture(scope="module")
def dsn(cluster) -> str:
    """One database for all of these."""
    return cluster.create_database()


@pytest.fixture(scope="module", params=["filled", "analysed"])
def filled(cluster, request) -> Iterator[Any]:
    """A session like the pool's with a database that holds much, of which the planner knows or not."""
    with closing(psycopg2.connect(cluster.create_database())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE SCHEMA chatd")
        for migration in load():
            cursor.execute(migration.sql)
        cursor.execute(FILL)
        if request.param == "analysed":
            cursor.execute("ANALYZE")
        cursor.execute(BY_INDEX)
        yield cursor


def plan(cursor, name, options=""):
    statement, params = STATEMENTS[name]
    cursor.execute(f"EXPLAIN (FORMAT JSON {options}) {statement}", params)
    [[[explained]]] = cursor.fetchall()
    return nodes(explained["Plan"])


def nodes(node):
    return [node, *(found for child in node.get("Plans", ()) for found in nodes(child))]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_of_presence_reads_a_whole_table(filled, name):
    found = plan(filled, name)
    assert [node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"] == []


def rows_read(found, table):
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in found
        if node.get("Relation Name") == table
    )


def test_reading_looks_at_the_leases_of_those_asked_for(filled):
    found = plan(filled, "read", ", ANALYZE, TIMING OFF")
    assert rows_read(found, "presence") <= 2 * 3 * 500
    assert rows_read(found, "last_seen") <= 500


def test_who_knows_whom_is_found_along_the_conversations_of_one_of_the_two(filled):
    """Each of the 500 is in 21, and whether the other is in one of them takes one look at an index."""
    found = plan(filled, "acquainted", ", ANALYZE, TIMING OFF")
    assert found[0]["Actual Rows"] == 10
    assert rows_read(found, "members") <= 500 * 21 * 2


@pytest.fixture
def store(start_pool):
    return PostgresPresence(pytest_twisted.blockon(Deferred.fromCoroutine(migrated(start_pool(size=4)))))


@pytest_twisted.ensureDeferred
async def test_workers_that_write_the_same_people_at_once_do_not_fail(store):
    workers = [str(UUID(int=number)) for number in range(10, 14)]
    for worker in workers:
        await store.begin(worker, 60.0)
    for status in ("online", None, "away", None):
        leases = [Lease(user=user, status=status) for user in USERS]
        written = await gatherResults(
            [
                Deferred.fromCoroutine(store.write(worker, leases[::way]))
                for worker, way in zip(workers, (1, -1, 1, -1), strict=True)
            ]
        )
        assert written == [True] * 4
    assert {seen.status for seen in await store.read(USERS)} == {"offline"}
    assert all(seen.last_seen for seen in await store.read(USERS))
