"""The pool on a server, or a network, that fails."""

from contextlib import closing, contextmanager

import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import capturedLogs

from chatd.errors import OutcomeUnknown, Overloaded, Unavailable
from chatd.store.pool import Occupancy
from tests.kit.proxy import postgres_proxy
from tests.kit.until import until

PID = "SELECT pg_backend_pid()"
OURS = "FROM pg_stat_activity WHERE application_name = 'chatd' AND datname = current_database()"
TERMINATE = f"SELECT pg_terminate_backend(pid, 5000) {OURS}"
QUICK = {"connect_timeout": 0.3, "statement_timeout": 0.2}


@contextmanager
def down(cluster, end):
    """The server's absence, brought about by ``end``."""
    end()
    try:
        yield
    finally:
        cluster.start()


@pytest_twisted.ensureDeferred
async def test_idle_connections_whose_backends_were_killed_are_replaced_quietly(start_pool, sql, errors_logged):
    pool = start_pool(size=3)
    await until(lambda: pool.occupancy.alive == 3)
    before = set(sql(f"SELECT pid {OURS}"))
    sql(TERMINATE)
    await until(lambda: not pool.ready)
    await until(lambda: pool.occupancy.alive == 3)
    assert before.isdisjoint(sql(f"SELECT pid {OURS}"))
    assert pool.occupancy == Occupancy(size=3, alive=3, busy=0, waiting=0)
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_statement_is_not_lost_to_a_connection_that_died_while_idle(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=3)
    await until(lambda: pool.occupancy.alive == 3)
    sql(TERMINATE)  # the reactor has not run since, so the pool does not know
    assert pool.occupancy.alive == 3
    await pool.query("INSERT INTO notes VALUES ('a')", writes=True)
    assert sql("SELECT body FROM notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_who_waits_is_not_given_a_connection_that_died_with_its_last_answer(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)
    await pool.query("SELECT 1")
    asked = Deferred.fromCoroutine(pool.query("SELECT 2"))
    waiting = Deferred.fromCoroutine(pool.query("INSERT INTO notes VALUES ('a')", writes=True))
    assert any(sql(f"SELECT 1 {OURS} AND query = 'SELECT 2' AND state = 'idle'") for _ in range(10_000))
    sql(TERMINATE)  # the reactor has not run since, so the answer and the end of the session come together
    assert await asked == [(2,)]
    await waiting
    assert sql("SELECT body FROM notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_a_backend_killed_in_a_transaction_leaves_nothing_and_is_replaced(start_pool, sql, errors_logged):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)

    async def write(cursor):
        await cursor.execute("INSERT INTO notes VALUES ('a')")
        await cursor.execute("SELECT pg_sleep(20)")

    writing = Deferred.fromCoroutine(pool.interact(write))
    await until(lambda: sql(f"SELECT 1 {OURS} AND query LIKE 'SELECT pg_sleep%'"))
    sql(TERMINATE)
    with pytest.raises(Unavailable):
        await writing
    assert await pool.query("SELECT * FROM notes") == []
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_place_heals_while_its_interaction_hangs_which_then_starts_over(start_pool, sql):
    pool = start_pool(size=1)
    asked_elsewhere = Deferred()
    tries = []

    async def hang(cursor):
        tries.append(await cursor.query(PID))
        if len(tries) == 1:
            await asked_elsewhere
        return await cursor.query(PID)

    hanging = Deferred.fromCoroutine(pool.interact(hang))
    await until(lambda: tries)
    sql(TERMINATE)
    await pool.query("SELECT 1")
    asked_elsewhere.callback(None)
    assert await hanging == tries[1] != tries[0]


@pytest.mark.parametrize(("writes", "told"), [(False, Unavailable), (True, OutcomeUnknown)])
@pytest_twisted.ensureDeferred
async def test_a_statement_lost_in_flight_is_unknown_only_if_it_writes(start_pool, sql, writes, told):
    pool = start_pool(size=1)
    asked = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(20)", writes=writes))
    await until(lambda: sql(f"SELECT 1 {OURS} AND query LIKE 'SELECT pg_sleep%'"))
    sql(TERMINATE)
    with pytest.raises(told):
        await asked
    assert await pool.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("then_cut", [True, False])
@pytest_twisted.ensureDeferred
async def test_the_lost_reply_to_a_commit_leaves_the_outcome_unknown(start_pool, dsn, sql, then_cut):
    sql("CREATE TABLE notes (body text)")

    async def write(cursor):
        await cursor.execute("INSERT INTO notes VALUES ('a')")

    with postgres_proxy(dsn) as (proxy, through):
        pool = start_pool(through, **QUICK)
        await pool.query("SELECT 1")
        lost = proxy.lose_reply(b"COMMIT", then_cut=then_cut)
        with pytest.raises(OutcomeUnknown):
            await pool.interact(write)
        assert lost.struck.is_set()
        assert await pool.query("SELECT body FROM notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_an_interaction_that_cannot_even_be_rolled_back_leaves_nothing(start_pool, dsn, sql):
    sql("CREATE TABLE notes (body text)")
    with postgres_proxy(dsn) as (proxy, through):
        pool = start_pool(through, **QUICK)

        async def write(cursor):
            await cursor.execute("INSERT INTO notes VALUES ('a')")
            proxy.blackhole()
            raise LookupError("changed my mind")

        with pytest.raises(LookupError, match="changed my mind"):
            await pool.interact(write)
        proxy.passing()
        assert await pool.query("SELECT * FROM notes") == []


@pytest_twisted.ensureDeferred
async def test_the_lost_reply_to_a_statement_that_writes_leaves_the_outcome_unknown(start_pool, dsn, sql):
    sql("CREATE TABLE notes (body text)")
    with postgres_proxy(dsn) as (proxy, through):
        pool = start_pool(through)
        await pool.query("SELECT 1")
        lost = proxy.lose_reply(b"INSERT")
        with pytest.raises(OutcomeUnknown):
            await pool.query("INSERT INTO notes VALUES ('a')", writes=True)
        assert lost.struck.is_set()
        assert await pool.query("SELECT body FROM notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_down_at_start_or_goes_down_later_is_waited_for(cluster, dsn, start_pool, errors_logged):
    with down(cluster, cluster.stop):
        pool = start_pool(acquire_timeout=0.05)
        with pytest.raises(Unavailable) as raised:
            await pool.query("SELECT 1")
        assert raised.value.retryable
        assert not pool.ready
    await until(lambda: pool.ready)
    assert await pool.query("SELECT 1") == [(1,)]
    with down(cluster, cluster.kill):
        await until(lambda: not pool.ready)
    await until(lambda: pool.ready)
    assert await pool.query("SELECT 1") == [(1,)]
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_statements_into_a_blackhole_end_and_the_pool_comes_back_with_the_network(start_pool, dsn, sql):
    sql("CREATE TABLE notes (body text)")
    with postgres_proxy(dsn) as (proxy, through):
        pool = start_pool(through, **QUICK)
        await until(lambda: pool.occupancy.alive == 2)
        proxy.blackhole()
        reading = Deferred.fromCoroutine(pool.query("SELECT 1"))
        writing = Deferred.fromCoroutine(pool.query("INSERT INTO notes VALUES ('a')", writes=True))
        with pytest.raises(Unavailable):
            await reading
        with pytest.raises(OutcomeUnknown):
            await writing
        assert not pool.ready
        proxy.passing()
        await until(lambda: pool.ready)
        assert await pool.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_a_statement_too_large_for_the_sockets_does_not_block_in_a_blackhole(start_pool, shared_dsn):
    with postgres_proxy(shared_dsn) as (proxy, through):
        pool = start_pool(through, **QUICK, size=1)
        await pool.query("SELECT 1")
        proxy.blackhole()
        with pytest.raises(OutcomeUnknown):
            await pool.query("SELECT length(%s)", ("x" * 30_000_000,), writes=True)


@pytest_twisted.ensureDeferred
async def test_probes_notice_a_blackhole_while_nobody_asks_for_anything(start_pool, shared_dsn, errors_logged):
    with postgres_proxy(shared_dsn) as (proxy, through):
        pool = start_pool(through, **QUICK, probe_interval=0.05)
        await until(lambda: pool.occupancy.alive == 2)
        proxy.blackhole()
        await until(lambda: not pool.ready)
        proxy.passing()
        await until(lambda: pool.ready)
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_network_that_is_cut_or_refuses_is_retryable_and_comes_back(start_pool, shared_dsn, errors_logged):
    with postgres_proxy(shared_dsn) as (proxy, through):
        pool = start_pool(through, acquire_timeout=0.05)
        await until(lambda: pool.occupancy.alive == 2)
        reading = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(20)"))
        proxy.cut()
        with pytest.raises(Unavailable):
            await reading
        proxy.refuse()
        await until(lambda: not pool.ready)
        with pytest.raises(Unavailable):
            await pool.query("SELECT 1")
        proxy.passing()
        await until(lambda: pool.ready)
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_slow_network_is_not_taken_for_a_dead_one(start_pool, shared_dsn):
    with postgres_proxy(shared_dsn) as (proxy, through):
        pool = start_pool(through, size=1)
        before = await pool.query(PID)
        proxy.delay = 0.05
        assert await pool.query(PID) == before


@pytest_twisted.ensureDeferred
async def test_a_connect_into_a_blackhole_is_given_up_and_tried_again(start_pool, shared_dsn, errors_logged):
    with postgres_proxy(shared_dsn) as (proxy, through):
        proxy.blackhole()
        pool = start_pool(through, **QUICK, size=1)
        await until(lambda: proxy.accepted >= 2)
        assert not pool.ready
        proxy.passing()
        await until(lambda: pool.ready)
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_the_next_host_is_tried_when_the_first_is_mute(start_pool, shared_dsn):
    with postgres_proxy(shared_dsn) as (proxy, through):
        proxy.blackhole()
        mute, well = parse_dsn(through), parse_dsn(shared_dsn)
        both = {name: f"{mute[name]},{well[name]}" for name in ("host", "port")}
        pool = start_pool(make_dsn(shared_dsn, **both), **QUICK, size=1)
        await until(lambda: pool.ready)
        assert await pool.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_too_many_connections_degrade_the_pool_and_are_recovered_from(start_pool, dsn, sql):
    sql("DROP ROLE IF EXISTS limited")
    sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 2")
    limited = make_dsn(dsn, user="limited")
    first = start_pool(limited, size=4)
    await until(lambda: first.occupancy.alive == 2)
    answers = [Deferred.fromCoroutine(first.query("SELECT 1")) for _ in range(8)]
    assert await gatherResults(answers) == [[(1,)]] * 8
    second = start_pool(limited, acquire_timeout=0.1)
    with pytest.raises(Unavailable):
        await second.query("SELECT 1")
    await first.stopService()
    await until(lambda: second.ready)
    assert await second.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_a_pool_with_connections_to_spare_leaves_one_to_a_pool_that_has_none(start_pool, dsn, sql):
    sql("DROP ROLE IF EXISTS limited")
    sql("CREATE ROLE limited LOGIN CONNECTION LIMIT 3")
    limited = make_dsn(dsn, user="limited")
    first = start_pool(limited, size=3, probe_interval=0.1, yield_interval=0.2)
    await until(lambda: first.occupancy.alive == 3)
    with capturedLogs() as events:
        second = start_pool(limited, size=3)
        await until(lambda: second.ready)
        assert await second.query("SELECT 1") == [(1,)]
        assert await first.query("SELECT 1") == [(1,)]
    assert "a connection to PostgreSQL was lost: {reason}" not in [event["log_format"] for event in events]


@pytest_twisted.ensureDeferred
async def test_the_last_connection_and_those_in_use_are_never_let_go(start_pool, sql):
    pool = start_pool(size=3, probe_interval=0.05, yield_interval=0.0)
    await until(lambda: pool.occupancy.alive == 3)
    working = [Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.5)")) for _ in range(2)]
    await until(lambda: pool.occupancy.alive == 2)
    await gatherResults(working)
    await until(lambda: pool.occupancy.alive == 1)
    [[last]] = await pool.query(PID)
    signs_of_life = set()

    def probed():
        signs_of_life.update(sql(f"SELECT query_start {OURS}"))
        return len(signs_of_life) > 3

    await until(probed)
    assert await pool.query(PID) == [(last,)]


@pytest.mark.parametrize(
    ("sqlstate", "told"),
    [
        ("53100", Unavailable),  # disk full
        ("53200", Unavailable),  # out of memory
        ("58030", Unavailable),  # input or output error
        ("55P03", Overloaded),  # lock not available
        ("40001", Overloaded),  # serialization failure, not repeated
        ("22P05", psycopg2.DataError),  # untranslatable character
        ("0A000", psycopg2.NotSupportedError),
        ("XX001", psycopg2.InternalError),  # data corrupted
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_server_refuses_is_told_by_its_code_and_costs_no_connection(
    start_pool, shared_dsn, sqlstate, told
):
    pool = start_pool(shared_dsn, size=1)
    before = await pool.query(PID)
    with pytest.raises(told):
        await pool.query(f"DO $$ BEGIN RAISE 'refused' USING ERRCODE = '{sqlstate}'; END $$", writes=True)
    assert await pool.query(PID) == before


@pytest.mark.parametrize(
    ("sqlstate", "told"),
    [
        ("25006", Unavailable),  # read-only: it became a standby
        ("26000", Unavailable),  # no such prepared statement
        ("57P01", OutcomeUnknown),  # administrator's shutdown
        ("08P01", OutcomeUnknown),  # a pooler lost its server
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_session_that_is_no_longer_fit_is_replaced(start_pool, shared_dsn, sqlstate, told):
    pool = start_pool(shared_dsn, size=1)
    before = await pool.query(PID)
    with pytest.raises(told):
        await pool.query(f"DO $$ BEGIN RAISE 'refused' USING ERRCODE = '{sqlstate}'; END $$", writes=True)
    assert await pool.query(PID) != before


@pytest_twisted.ensureDeferred
async def test_a_plan_outdated_by_a_migration_is_made_anew(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)
    pool.prepare(["PREPARE all_notes AS SELECT * FROM notes"])
    assert await pool.query("EXECUTE all_notes") == []
    sql("ALTER TABLE notes ADD COLUMN title text DEFAULT 'none'")
    sql("INSERT INTO notes VALUES ('a')")
    with pytest.raises(Unavailable):
        await pool.query("EXECUTE all_notes")
    assert await pool.query("EXECUTE all_notes") == [("a", "none")]


@pytest_twisted.ensureDeferred
async def test_a_standby_is_not_taken_for_the_database(start_pool, dsn, sql):
    [[database]] = sql("SELECT current_database()")
    sql(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    pool = start_pool(acquire_timeout=0.1)
    with pytest.raises(Unavailable):
        await pool.query("SELECT 1")
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    await until(lambda: pool.ready)
