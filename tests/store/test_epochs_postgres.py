"""By what PostgreSQL tells a database from a copy of it, and sessions that are not let in."""

from contextlib import closing
from itertools import count

import msgspec
import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet import reactor

from chatd.errors import Overloaded, Unavailable
from chatd.store.epochs import UNKNOWN, EpochChanged, PostgresEpochs, new_epoch
from chatd.store.failures import SessionError
from chatd.store.migrate import load, migrate
from chatd.store.pool import Pool
from chatd.wire.types import EpochName
from chatd.workers.epoch_watch import EpochWatch
from chatd.workers.rhythm import Rhythm
from tests.kit.postgres import execute
from tests.kit.until import until

ROLE = "somebody"
_copies = count(1)


def statement(dsn, text):
    """Outside of any transaction."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text)


async def prepared(dsn):
    """The epochs of a database with chatd's tables; the pool behind them does not run."""
    pool = Pool(reactor, dsn, size=1)
    await migrate(pool, load())
    return PostgresEpochs(pool, new_epoch)


@pytest.fixture
def copy(cluster, dsn):
    """The connection string of a copy of the database, which exists once ``make`` has run."""
    name = f"copy_{next(_copies)}"
    copied = cluster.dsn(name)

    def make():
        statement(cluster.dsn(), f"CREATE DATABASE {name} TEMPLATE {parse_dsn(dsn)['dbname']}")
        return copied

    yield make
    cluster.drop_database(copied)


def test_every_name_fits_the_wire_and_is_new():
    names = [msgspec.convert(new_epoch(), EpochName) for _ in range(100)]
    assert len(set(names)) == 100


@pytest_twisted.ensureDeferred
async def test_a_copy_of_a_database_is_another_place(dsn, copy):
    name = await (await prepared(dsn)).settle()
    copied = copy()
    assert execute(copied, "SELECT epoch FROM chatd.epoch") == [(name,)]
    assert await (await prepared(copied)).settle() != name


@pytest_twisted.ensureDeferred
async def test_tables_that_were_restored_over_the_old_ones_are_another_place(dsn, start_pool):
    """The session lives on meanwhile."""
    epochs = PostgresEpochs(pool := start_pool(dsn), new_epoch)
    await migrate(pool, load())
    before = await epochs.settle()
    assert (await epochs.current()).holds
    statement(dsn, "ALTER TABLE chatd.conversations RENAME TO dropped")
    assert not (await epochs.current()).holds
    statement(dsn, "CREATE TABLE chatd.conversations (LIKE chatd.dropped)")
    assert not (await epochs.current()).holds
    assert await epochs.settle() != before
    assert (await epochs.current()).holds


@pytest_twisted.ensureDeferred
async def test_while_a_restore_is_under_way_nothing_is_concluded(dsn, start_pool):
    epochs = PostgresEpochs(pool := start_pool(dsn), new_epoch)
    await migrate(pool, load())
    await epochs.settle()
    statement(dsn, "ALTER TABLE chatd.epoch RENAME TO coming")
    with pytest.raises(Unavailable):
        await epochs.current()
    statement(dsn, "CREATE TABLE chatd.epoch (LIKE chatd.coming)")
    with pytest.raises(Unavailable):
        await epochs.current()


@pytest.fixture
def unprivileged(cluster, dsn):
    """A role that owns the database and may do nothing else."""
    statement(cluster.dsn(), f"CREATE ROLE {ROLE} LOGIN")
    statement(cluster.dsn(), f"ALTER DATABASE {parse_dsn(dsn)['dbname']} OWNER TO {ROLE}")
    yield make_dsn(dsn, user=ROLE)
    statement(cluster.dsn(), f"ALTER DATABASE {parse_dsn(dsn)['dbname']} OWNER TO CURRENT_USER")
    statement(dsn, f"REASSIGN OWNED BY {ROLE} TO CURRENT_USER")
    statement(cluster.dsn(), f"DROP ROLE {ROLE}")


@pytest_twisted.ensureDeferred
async def test_any_role_may_ask_all_that_is_asked(dsn, unprivileged):
    epochs = await prepared(unprivileged)
    await epochs.settle()
    [(place,)] = execute(dsn, "SELECT place FROM chatd.epoch")
    [(system,)] = execute(dsn, "SELECT system_identifier::text FROM pg_control_system()")
    assert place.startswith(f"system {system}, timeline 00000001, database ")
    assert UNKNOWN not in place


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("refused", ["pg_control_system()", "pg_current_wal_lsn()"])
async def test_where_something_may_not_be_asked_the_rest_has_to_do(dsn, unprivileged, refused):
    statement(dsn, f"REVOKE EXECUTE ON FUNCTION {refused} FROM PUBLIC")
    epochs = await prepared(unprivileged)
    name = await epochs.settle()
    [(place,)] = execute(dsn, "SELECT place FROM chatd.epoch")
    assert place.count(UNKNOWN) == 1
    assert await epochs.settle() == name
    statement(dsn, "UPDATE chatd.epoch SET place = replace(place, 'database', 'database 1')")
    assert await epochs.settle() != name


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_away_is_retryable(tmp_path):
    epochs = PostgresEpochs(Pool(reactor, f"host={tmp_path}"), new_epoch)
    with pytest.raises(Unavailable):
        await epochs.settle()


@pytest_twisted.ensureDeferred
async def test_one_that_was_never_prepared_is_a_fault_of_whoever_asks(dsn):
    with pytest.raises(psycopg2.errors.UndefinedTable):
        await PostgresEpochs(Pool(reactor, dsn), new_epoch).settle()


@pytest_twisted.ensureDeferred
async def test_a_standby_has_no_say(dsn):
    """It would be at another place than its primary, and can begin nothing."""
    name = await (await prepared(dsn)).settle()
    statement(dsn, "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
    in_recovery = make_dsn(dsn, options="-c search_path=public,pg_catalog")
    with pytest.raises(Unavailable):
        await PostgresEpochs(Pool(reactor, in_recovery), new_epoch).settle()
    assert execute(dsn, "SELECT epoch FROM chatd.epoch") == [(name,)]


@pytest_twisted.ensureDeferred
async def test_whoever_has_to_wait_for_it_too_long_asks_again(dsn):
    await (await prepared(dsn)).settle()
    epochs = PostgresEpochs(Pool(reactor, dsn, statement_timeout=0.2), new_epoch)
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("UPDATE chatd.epoch SET place = 'elsewhere'")
        other.commit()
        cursor.execute("SELECT FROM chatd.epoch FOR UPDATE")
        with pytest.raises(Overloaded):
            await epochs.settle()
    name = await epochs.settle()
    assert execute(dsn, "SELECT epoch FROM chatd.epoch WHERE place <> 'elsewhere'") == [(name,)]


# -- sessions --


@pytest_twisted.ensureDeferred
async def test_no_session_is_lent_that_was_not_let_in(dsn, sql):
    """It is looked at before anything is prepared, which may not be there in another database."""
    over = []
    pool = Pool(reactor, dsn, size=2, acquire_timeout=0.1)
    await migrate(pool, load())
    watch = EpochWatch(PostgresEpochs(pool, new_epoch), Rhythm(reactor, over.append), over.append)
    await watch.begin()
    [(place,)] = sql("SELECT place FROM chatd.epoch")
    sql("UPDATE chatd.epoch SET place = 'elsewhere'")
    pool.guard(watch.admit)
    pool.prepare(["PREPARE one AS SELECT * FROM chatd.one"])
    pool.startService()
    try:
        with pytest.raises(Unavailable):
            await pool.query("EXECUTE one")
        assert [type(one) for one in over] == [EpochChanged]
        assert pool.occupancy.alive == 0
        with pytest.raises(Unavailable):
            await pool.dedicated(guarded=True)
        sql("CREATE TABLE chatd.one AS SELECT 1")
        sql("UPDATE chatd.epoch SET place = %s", place)
        await until(lambda: pool.occupancy.alive == 2)
        assert await pool.query("EXECUTE one") == [(1,)]
        (await pool.dedicated(guarded=True)).end(SessionError("it was let in"))
    finally:
        await pool.stopService()
