"""Migrations: each file once, in order, whole or not at all, whoever starts first."""

import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from chatd.errors import ServerError, Unavailable
from chatd.store.migrate import Migration, MigrationError, load, migrate
from chatd.store.pool import Pool
from tests.kit.until import until

NOTES = Migration(
    version=1, name="notes", sql="CREATE TABLE chatd.notes (body text); INSERT INTO chatd.notes VALUES ('a')"
)
TITLES = Migration(version=2, name="titles", sql="ALTER TABLE chatd.notes ADD COLUMN title text DEFAULT '100 %s'")
SLOW = Migration(version=2, name="slow", sql="INSERT INTO chatd.notes VALUES ('b'); SELECT pg_sleep(0.3)")


@pytest.fixture
def pool(dsn):
    """Does not run: migrations need no more than to know how to connect."""
    return Pool(reactor, dsn, connect_timeout=5.0, statement_timeout=0.1, grace=0.1)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes a package of files with these names, and gives its name."""

    def make(*names):
        folder = tmp_path / f"files_of_{tmp_path.name}"
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name in (*names, "README.rst"):
            (folder / name).write_text(f"-- {name}: 100 %\n", encoding="utf-8")
        return folder.name

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_files_are_loaded_in_the_order_of_their_numbers(package):
    loaded = load(package("0002_b.sql", "0010_j.sql", *(f"000{n}_x.sql" for n in (1, 3, 4, 5, 6, 7, 8, 9))))
    assert [migration.version for migration in loaded] == list(range(1, 11))
    assert (loaded[1].file, loaded[1].name, loaded[1].sql) == ("0002_b.sql", "b", "-- 0002_b.sql: 100 %\n")


def test_chatds_own_files_are_numbered_without_a_gap():
    assert [migration.version for migration in load()] == list(range(1, len(load()) + 1))


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c.sql comes next, but there is no 0002"),
        (["0002_b.sql"], "0002_b.sql comes next, but there is no 0001"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql has a number that was used before"),
        (["0000_a.sql"], "0000_a.sql has a number that was used before"),
        (["1_a.sql"], "1_a.sql is not named like 0001_"),
        (["0001-a.sql"], "0001-a.sql is not named like 0001_"),
    ],
)
def test_gaps_repeats_and_odd_names_are_refused(package, names, complaint):
    with pytest.raises(MigrationError, match=f"^{complaint}"):
        load(package(*names))


@pytest_twisted.ensureDeferred
async def test_what_is_missing_is_applied_once(pool, sql):
    assert await migrate(pool, [NOTES]) == 1
    assert await migrate(pool, [NOTES, TITLES]) == 1
    assert await migrate(pool, [NOTES, TITLES]) == 0
    assert sql("SELECT * FROM chatd.notes") == [("a", "100 %s")]
    assert sql("SELECT version, name, checksum FROM chatd.migrations ORDER BY 1") == [
        (1, "notes", NOTES.checksum),
        (2, "titles", TITLES.checksum),
    ]


@pytest_twisted.ensureDeferred
async def test_chatds_own_files_fit_an_empty_database(pool):
    assert await migrate(pool, load()) == len(load())


@pytest_twisted.ensureDeferred
async def test_of_four_that_start_at_once_one_applies(pool, sql):
    four = [Deferred.fromCoroutine(migrate(pool, [NOTES, TITLES])) for _ in range(4)]
    assert sorted(await gatherResults(four)) == [0, 0, 0, 2]
    assert sql("SELECT count(*) FROM chatd.notes") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_a_file_may_take_longer_than_any_statement_of_the_service(pool, sql):
    assert await migrate(pool, [NOTES, SLOW]) == 2


@pytest_twisted.ensureDeferred
async def test_an_applied_file_that_was_changed_is_refused(pool, sql):
    await migrate(pool, [NOTES])
    changed = Migration(version=1, name="notes", sql=NOTES.sql + " ")
    with pytest.raises(MigrationError, match=r"^0001_notes\.sql was changed after it had been applied"):
        await migrate(pool, [changed, TITLES])
    assert sql("SELECT * FROM chatd.notes") == [("a",)]


@pytest_twisted.ensureDeferred
async def test_a_database_newer_than_the_code_is_refused(pool):
    await migrate(pool, [NOTES, TITLES])
    with pytest.raises(
        MigrationError, match=r"^the database is at 2, this chatd knows up to 1: upgrade chatd or restore$"
    ):
        await migrate(pool, [NOTES])


@pytest_twisted.ensureDeferred
async def test_a_database_whose_history_has_a_hole_is_refused(pool, sql):
    await migrate(pool, [NOTES, TITLES])
    sql("DELETE FROM chatd.migrations WHERE version = 1")
    with pytest.raises(MigrationError, match=r"^the database has 0002 but lacks 0001_notes\.sql"):
        await migrate(pool, [NOTES, TITLES])


@pytest_twisted.ensureDeferred
async def test_a_file_that_fails_leaves_nothing_and_what_came_before_stays(pool, sql):
    broken = Migration(version=2, name="broken", sql="INSERT INTO chatd.notes VALUES ('b'); SELEKT 1")
    with pytest.raises(MigrationError) as raised:
        await migrate(pool, [NOTES, broken])
    assert str(raised.value) == '0002_broken.sql was refused: syntax error at or near "SELEKT"'
    assert sql("SELECT * FROM chatd.notes") == [("a",)]
    assert sql("SELECT version FROM chatd.migrations") == [(1,)]
    assert await migrate(pool, [NOTES, TITLES]) == 1


@pytest_twisted.ensureDeferred
async def test_a_file_that_commits_by_itself_is_refused(pool):
    early = Migration(version=1, name="early", sql="CREATE TABLE chatd.notes (body text); COMMIT")
    with pytest.raises(MigrationError, match=r"^0001_early\.sql ends the transaction"):
        await migrate(pool, [early])


@pytest_twisted.ensureDeferred
async def test_a_list_with_a_gap_is_refused_before_anything_is_done(pool, sql):
    with pytest.raises(MigrationError, match="there is no 0001"):
        await migrate(pool, [TITLES])
    assert sql("SELECT to_regclass('chatd.migrations')") == [(None,)]


@pytest_twisted.ensureDeferred
async def test_a_connection_lost_on_the_way_is_retryable_and_the_retry_succeeds(pool, sql):
    migrating = Deferred.fromCoroutine(migrate(pool, [NOTES, SLOW]))
    sleeping = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.3)' AND application_name = 'chatd'"
    await until(lambda: sql(f"SELECT 1 {sleeping}"))
    sql(f"SELECT pg_terminate_backend(pid, 5000) {sleeping}")
    with pytest.raises(ServerError) as raised:
        await migrating
    assert raised.value.retryable
    assert sql("SELECT * FROM chatd.notes") == [("a",)]
    assert await migrate(pool, [NOTES, SLOW]) == 1


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_retryable(pool):
    full = Migration(version=1, name="full", sql="DO $$ BEGIN RAISE 'no space left' USING ERRCODE = '53100'; END $$")
    with pytest.raises(Unavailable):
        await migrate(pool, [full])


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_down_is_retryable(dsn):
    nobody_there = Pool(reactor, make_dsn(dsn, host="127.0.0.1", port=1))
    with pytest.raises(Unavailable):
        await migrate(nobody_there, [NOTES])


@pytest_twisted.ensureDeferred
async def test_one_who_may_not_create_finds_a_migrated_database_in_order(pool, dsn, sql):
    await migrate(pool, [NOTES])
    sql("DROP ROLE IF EXISTS reader")
    sql("CREATE ROLE reader LOGIN")
    as_reader = Pool(reactor, make_dsn(dsn, user="reader"))
    with pytest.raises(MigrationError, match=r"^the database cannot be migrated: permission denied for schema chatd"):
        await migrate(as_reader, [NOTES])
    sql("GRANT USAGE ON SCHEMA chatd TO reader")
    sql("GRANT SELECT ON chatd.migrations TO reader")
    assert await migrate(as_reader, [NOTES]) == 0
    sql("DROP OWNED BY reader")
    sql("DROP ROLE reader")
