"""The pool on a server that is well."""

import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from chatd.errors import Overloaded, Unavailable
from chatd.store.pool import Pool
from tests.kit.until import until

PID = "SELECT pg_backend_pid()"
OURS = "FROM pg_stat_activity WHERE application_name = 'chatd' AND datname = current_database()"


@pytest_twisted.ensureDeferred
async def test_a_query_gives_its_rows(start_pool, shared_dsn):
    pool = start_pool(shared_dsn)
    assert await pool.query("SELECT %s, 'b%%' UNION ALL SELECT 'c', 'd' ORDER BY 1", ("a",)) == [
        ("a", "b%"),
        ("c", "d"),
    ]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("count", "length"), [(1, 5_000_000), (200, 500), (50_000, 100)])
async def test_an_answer_of_any_size_comes_whole_and_others_have_their_turn(start_pool, shared_dsn, count, length):
    """A session takes a mebibyte at most in one turn of the reactor."""
    pool = start_pool(shared_dsn, size=2)
    asked = "SELECT n, repeat('x', %s) FROM generate_series(1, %s) AS n"
    large = Deferred.fromCoroutine(pool.query(asked, (length, count)))
    assert await pool.query("SELECT 1") == [(1,)]
    assert await large == [(n, "x" * length) for n in range(1, count + 1)]
    assert await pool.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_percent_signs_stand_for_themselves_without_parameters(start_pool, shared_dsn):
    assert await start_pool(shared_dsn).query("SELECT '100%s'") == [("100%s",)]


@pytest_twisted.ensureDeferred
async def test_a_statement_without_rows_gives_none(start_pool):
    assert await start_pool().query("CREATE TABLE notes (body text)", writes=True) == []


@pytest_twisted.ensureDeferred
async def test_every_session_acknowledges_only_what_is_durable_whatever_the_database_prefers(start_pool, sql):
    [[database]] = sql("SELECT current_database()")
    for preference in (
        "synchronous_commit = off",
        "timezone = 'Asia/Kolkata'",
        "default_transaction_isolation = serializable",
    ):
        sql(f"ALTER DATABASE {database} SET {preference}")
    pool = start_pool(statement_timeout=4.0, application_name="tested")
    [settings] = await pool.query(
        "SELECT current_setting('synchronous_commit'), current_setting('timezone'), current_setting('lock_timeout'),"
        " current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'),"
        " current_setting('application_name'), current_setting('transaction_isolation')"
    )
    assert settings == ("on", "UTC", "3200ms", "4s", "4100ms", "tested", "read committed")


@pytest_twisted.ensureDeferred
async def test_an_interaction_is_committed_when_it_returns(start_pool, sql):
    sql("CREATE TABLE notes (body text)")

    async def write(cursor, body, *, twice):
        await cursor.execute("INSERT INTO notes VALUES (%s)", (body,))
        assert cursor.rowcount == 1
        await cursor.execute("SELECT body || %s FROM notes", (twice,))
        assert cursor.fetchone() == ("ab",)
        return await cursor.query("SELECT count(*) FROM notes")

    assert await start_pool().interact(write, "a", twice="b") == [(1,)]
    assert sql("SELECT * FROM notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_an_interaction_that_raises_leaves_nothing_behind(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)

    async def write(cursor):
        await cursor.execute("INSERT INTO notes VALUES ('a')")
        raise LookupError("changed my mind")

    before = await pool.query(PID)
    with pytest.raises(LookupError, match="changed my mind"):
        await pool.interact(write)
    assert sql("SELECT * FROM notes") == []
    assert await pool.query(PID) == before


@pytest_twisted.ensureDeferred
async def test_an_interaction_that_swallows_an_error_is_not_taken_for_committed(start_pool, sql):
    sql("CREATE TABLE notes (body text)")

    async def write(cursor):
        await cursor.execute("INSERT INTO notes VALUES ('a')")
        with pytest.raises(psycopg2.DataError):
            await cursor.execute("SELECT 1 / 0")

    with pytest.raises(RuntimeError, match="rolled back"):
        await start_pool().interact(write)
    assert sql("SELECT * FROM notes") == []


@pytest_twisted.ensureDeferred
async def test_nobody_inherits_a_transaction_that_was_left_open(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1)
    before = await pool.query(PID)
    assert await pool.query("BEGIN") == []
    assert await pool.query(PID) != before


@pytest.mark.parametrize(
    ("statement", "params", "error"),
    [
        ("CREATE TEMP TABLE t (a int CHECK (a > 0)); INSERT INTO t VALUES (0)", None, psycopg2.errors.CheckViolation),
        ("SELECT 1 / 0", None, psycopg2.errors.DivisionByZero),
        ("SELEKT", None, psycopg2.errors.SyntaxError),
        ("SELECT %s", ("a\x00b",), ValueError),
        ("SELECT %s", ("\ud800",), UnicodeEncodeError),
        ("SELECT %s", (object(),), psycopg2.ProgrammingError),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_callers_own_errors_pass_and_cost_no_connection(start_pool, shared_dsn, statement, params, error):
    pool = start_pool(shared_dsn, size=1)
    before = await pool.query(PID)
    with pytest.raises(error):
        await pool.query(statement, params, writes=True)
    assert await pool.query(PID) == before


@pytest_twisted.ensureDeferred
async def test_a_slow_statement_is_ended_and_told_as_overload(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1, statement_timeout=0.2)
    before = await pool.query(PID)
    with pytest.raises(Overloaded) as raised:
        await pool.query("SELECT pg_sleep(20)", writes=True)
    assert raised.value.retryable
    assert raised.value.retry_after_ms
    assert await pool.query(PID) == before


@pytest_twisted.ensureDeferred
async def test_a_lock_that_others_keep_is_told_as_overload(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(statement_timeout=0.4)
    sql("BEGIN")
    sql("LOCK TABLE notes")
    with pytest.raises(Overloaded) as raised:
        await pool.query("INSERT INTO notes VALUES ('a')", writes=True)
    assert isinstance(raised.value.__cause__, psycopg2.errors.LockNotAvailable)
    sql("ROLLBACK")


@pytest_twisted.ensureDeferred
async def test_two_interactions_that_deadlock_both_succeed(start_pool, sql):
    [[database]] = sql("SELECT current_database()")
    sql(f"ALTER DATABASE {database} SET deadlock_timeout = '20ms'")
    sql("CREATE TABLE counters (name text PRIMARY KEY, value int)")
    sql("INSERT INTO counters VALUES ('a', 0), ('b', 0)")
    pool = start_pool(size=2)
    holding = []
    both_hold_one = Deferred()

    async def add(cursor, first, second):
        await cursor.execute("UPDATE counters SET value = value + 1 WHERE name = %s", (first,))
        holding.append(first)
        if len(holding) == 1:
            await both_hold_one
        elif len(holding) == 2:
            both_hold_one.callback(None)
        await cursor.execute("UPDATE counters SET value = value + 1 WHERE name = %s", (second,))

    await gatherResults(
        [
            Deferred.fromCoroutine(pool.interact(add, "a", "b")),
            Deferred.fromCoroutine(pool.interact(add, "b", "a")),
        ],
        consumeErrors=True,
    )
    assert sql("SELECT value FROM counters") == [(2,), (2,)]
    assert len(holding) == 3


@pytest_twisted.ensureDeferred
async def test_a_serialization_failure_is_repeated_only_where_asked_and_not_for_ever(start_pool, sql):
    sql("CREATE SEQUENCE tries")
    sql(
        "CREATE FUNCTION collide(times int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE try int := nextval('tries');"
        " BEGIN IF try <= times THEN RAISE 'collision' USING ERRCODE = '40001'; END IF; RETURN try; END $$"
    )
    pool = start_pool(random=lambda: 0.01)
    assert await pool.query("SELECT collide(2)", retry=True) == [(3,)]
    with pytest.raises(Overloaded):
        await pool.query("SELECT collide(4)")
    sql("ALTER SEQUENCE tries RESTART")
    with pytest.raises(Overloaded):
        await pool.query("SELECT collide(1000)", retry=True)
    assert sql("SELECT last_value FROM tries") == [(6,)]


@pytest_twisted.ensureDeferred
async def test_who_finds_no_idle_connection_is_served_in_order(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1)
    served = []

    async def ask(number):
        await pool.query("SELECT pg_sleep(0.01)")
        served.append(number)

    await gatherResults([Deferred.fromCoroutine(ask(number)) for number in range(10)])
    assert served == list(range(10))


@pytest_twisted.ensureDeferred
async def test_a_long_line_of_failures_is_served_without_recursion(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1, max_waiting=5000)
    asked = [Deferred.fromCoroutine(pool.query("SELECT %s", (object(),))) for _ in range(3000)]
    for answer in asked:
        with pytest.raises(psycopg2.ProgrammingError):
            await answer


@pytest_twisted.ensureDeferred
async def test_one_more_than_the_line_holds_is_refused_at_once(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1, max_waiting=1)
    await pool.query("SELECT 1")
    busy = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.1)"))
    waiting = Deferred.fromCoroutine(pool.query("SELECT 1"))
    assert (pool.occupancy.busy, pool.occupancy.waiting) == (1, 1)
    with pytest.raises(Overloaded):
        await pool.query("SELECT 1")
    assert await waiting == [(1,)]
    await busy


@pytest_twisted.ensureDeferred
async def test_who_waits_too_long_gets_a_retryable_error_and_leaves_the_line(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1, acquire_timeout=0.05)
    await pool.query("SELECT 1")
    busy = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.3)"))
    with pytest.raises(Overloaded) as raised:
        await pool.query("SELECT 1")
    assert raised.value.retryable
    assert pool.occupancy.waiting == 0
    await busy
    assert await pool.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_who_cancels_leaves_the_line(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, size=1)
    await pool.query("SELECT 1")
    busy = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.1)"))
    waiting = Deferred.fromCoroutine(pool.query("SELECT 1"))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert pool.occupancy.waiting == 0
    await busy
    assert pool.occupancy.busy == 0


@pytest_twisted.ensureDeferred
async def test_cancelling_a_statement_ends_its_connection_and_the_pool_heals(start_pool, sql, errors_logged):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)

    async def write(cursor):
        await cursor.execute("INSERT INTO notes VALUES ('a')")
        await cursor.execute("SELECT pg_sleep(0.3)")

    writing = Deferred.fromCoroutine(pool.interact(write))
    await until(lambda: sql(f"SELECT 1 {OURS} AND query LIKE 'SELECT pg_sleep%'"))
    writing.cancel()
    with pytest.raises(CancelledError):
        await writing
    assert await pool.query("SELECT count(*) FROM notes") == [(0,)]
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_statements_prepared_now_hold_for_every_session(start_pool, sql):
    pool = start_pool(size=2)
    busy = Deferred.fromCoroutine(pool.query("SELECT pg_sleep(0.1)"))
    await until(lambda: pool.occupancy.alive == 2)
    pool.prepare(["PREPARE three AS SELECT 3"])
    pool.prepare(["PREPARE three AS SELECT 3", "PREPARE four AS SELECT 4"])
    await busy
    both = [Deferred.fromCoroutine(pool.query(f"EXECUTE {name}")) for name in ("three", "four")]
    assert await gatherResults(both) == [[(3,)], [(4,)]]
    sql(f"SELECT pg_terminate_backend(pid, 5000) {OURS}")
    both = [Deferred.fromCoroutine(pool.query(f"EXECUTE {name}")) for name in ("three", "four")]
    assert await gatherResults(both) == [[(3,)], [(4,)]]


@pytest_twisted.ensureDeferred
async def test_a_session_that_cannot_be_prepared_is_tried_again(start_pool, sql, errors_logged):
    pool = start_pool(acquire_timeout=0.2)
    await pool.query("SELECT 1")
    pool.prepare(["PREPARE all_notes AS SELECT body FROM notes"])
    await until(lambda: not pool.ready)
    with capturedLogs() as events, pytest.raises(Unavailable):
        await pool.query("EXECUTE all_notes")
    assert {event["log_format"] for event in events} == {"PostgreSQL is out of reach: {reason}"}
    sql("CREATE TABLE notes (body text)")
    await until(lambda: pool.ready)
    assert await pool.query("EXECUTE all_notes") == []
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_pool_that_does_not_run_refuses(dsn):
    pool = Pool(reactor, dsn)
    assert not pool.ready
    with pytest.raises(Unavailable):
        await pool.query("SELECT 1")


@pytest_twisted.ensureDeferred
async def test_stopping_finishes_what_was_taken_and_refuses_more(start_pool, sql):
    sql("CREATE TABLE notes (body text)")
    pool = start_pool(size=1)
    await pool.query("SELECT 1")
    busy = Deferred.fromCoroutine(pool.query("INSERT INTO notes SELECT 'a' FROM pg_sleep(0.1)", writes=True))
    waiting = Deferred.fromCoroutine(pool.query("INSERT INTO notes VALUES ('b')", writes=True))
    stopped = pool.stopService()
    with pytest.raises(Unavailable):
        await pool.query("SELECT 1")
    await stopped
    assert busy.called
    assert waiting.called
    assert sql("SELECT body FROM notes") == [("a",), ("b",)]
    assert not pool.ready


@pytest_twisted.ensureDeferred
async def test_stopping_does_not_wait_for_an_interaction_that_never_ends(start_pool, shared_dsn):
    pool = start_pool(shared_dsn, statement_timeout=0.1)

    async def go_on(cursor):
        while True:
            await cursor.execute("SELECT pg_sleep(0.01)")

    going_on = Deferred.fromCoroutine(pool.interact(go_on))
    await until(lambda: pool.occupancy.busy == 1)
    await pool.stopService()
    assert not pool.ready
    with pytest.raises(Unavailable):
        await going_on


@pytest_twisted.ensureDeferred
async def test_stopping_sends_away_those_who_wait_for_a_server_that_is_not_there(start_pool, shared_dsn):
    pool = start_pool(make_dsn(shared_dsn, host="127.0.0.1", port=1))
    waiting = Deferred.fromCoroutine(pool.query("SELECT 1"))
    await pool.stopService()
    assert waiting.called
    with pytest.raises(Unavailable):
        await waiting


@pytest_twisted.ensureDeferred
async def test_a_stopped_pool_can_be_started_again(start_pool, shared_dsn):
    pool = start_pool(shared_dsn)
    await pool.query("SELECT 1")
    await pool.stopService()
    pool.startService()
    assert await pool.query("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_an_unused_connection_is_probed_without_being_missed(start_pool, sql):
    pool = start_pool(size=1, probe_interval=0.02)
    await pool.query("SELECT 2")
    await until(lambda: sql(f"SELECT 1 {OURS} AND query = 'SELECT 1'"))
    for _ in range(30):
        assert await pool.query("SELECT 2") == [(2,)]
        await deferLater(reactor, 0.005)


def test_a_malformed_dsn_is_refused_at_once_and_not_quoted():
    with pytest.raises(ValueError, match="neither") as raised:
        Pool(reactor, "host=localhost password=secret x")
    assert "secret" not in str(raised.value)
