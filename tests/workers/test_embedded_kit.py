"""The tests' own PostgreSQL does what the tests of everything else rely on."""

from threading import Thread

import pytest

from tests.kit.postgres import Cluster, answers, execute


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster.start_new(tmp_path_factory.mktemp("postgres")) as started:
        yield started


def test_each_database_is_new_and_empty(cluster):
    one, two = cluster.create_database(), cluster.create_database()
    execute(one, "CREATE TABLE here (a int)")
    assert execute(two, "SELECT to_regclass('here')") == [(None,)]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_committed_is_there_after_a_restart(cluster, how):
    dsn = cluster.create_database()
    execute(dsn, "CREATE TABLE kept AS SELECT 7 AS a")
    getattr(cluster, how)()
    assert not answers(dsn)
    cluster.start()
    assert execute(dsn, "SELECT a FROM kept") == [(7,)]


def test_a_server_started_from_a_thread_outlives_that_thread(cluster):
    cluster.stop()
    thread = Thread(target=cluster.start)
    thread.start()
    thread.join()
    assert answers(cluster.dsn())


def test_settings_are_postgresqls(tmp_path):
    with Cluster.start_new(tmp_path, durable=True, settings={"max_connections": "11"}) as small:
        assert execute(small.dsn(), "SHOW max_connections") == [("11",)]
        assert execute(small.dsn(), "SHOW fsync") == [("on",)]
