"""One session: how it is asked for, what it refuses, and how it ends."""

import os
import select
import socket

import psycopg2
import pytest
import pytest_twisted
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from chatd.store.connection import Bounds, Connection, complete_dsns
from chatd.store.failures import Lost, NotSent, SessionError
from tests.kit.proxy import Proxy, postgres_proxy
from tests.kit.until import until

QUICK = Bounds(connect=0.3, statement=0.2, grace=0.1)


def hung_up_on(connection):
    """Have the server's last word be said, though the reactor has not heard it."""
    with socket.socket(fileno=os.dup(connection._wire.fileno())) as stream:
        stream.shutdown(socket.SHUT_RD)


def read_but_not_told(connection):
    """Read the answer here and now: txpostgres will deliver it in the reactor's next turn."""
    [cursor] = connection._wire._cursors
    while cursor._pollingD is not None:
        assert connection._wire.pollable().has_heard(5000)
        cursor.doRead()


def test_a_dsn_gets_what_tells_a_dead_network_and_a_standby():
    [dsn] = complete_dsns("host=db.example dbname=chat", "chatd", Bounds(connect=3.0))
    assert parse_dsn(dsn) == {
        "host": "db.example",
        "dbname": "chat",
        "application_name": "chatd",
        "client_encoding": "UTF8",
        "keepalives": "1",
        "keepalives_count": "3",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "target_session_attrs": "read-write",
        "tcp_user_timeout": "3000",
    }


def test_what_a_dsn_says_stands():
    [dsn] = complete_dsns("postgresql://db.example/chat?keepalives_idle=60&application_name=mine", "chatd", Bounds())
    parts = parse_dsn(dsn)
    assert (parts["keepalives_idle"], parts["application_name"], parts["dbname"]) == ("60", "mine", "chat")


def test_every_host_comes_first_in_its_turn_with_its_own_port():
    dsns = [parse_dsn(dsn) for dsn in complete_dsns("host=a,b,c port=1,2,3 dbname=chat", "chatd", Bounds())]
    assert [(parts["host"], parts["port"]) for parts in dsns] == [
        ("a,b,c", "1,2,3"),
        ("b,c,a", "2,3,1"),
        ("c,a,b", "3,1,2"),
    ]


def test_one_port_may_serve_for_all_hosts():
    dsns = [parse_dsn(dsn) for dsn in complete_dsns("host=a,b port=6432", "chatd", Bounds())]
    assert [(parts["host"], parts["port"]) for parts in dsns] == [("a,b", "6432"), ("b,a", "6432")]


@pytest_twisted.ensureDeferred
async def test_one_that_nobody_listens_for_ends_with_the_reason(shared_dsn):
    connection = Connection(reactor, QUICK)
    with pytest.raises(Lost, match="refused"):
        await connection.open(make_dsn(shared_dsn, host="127.0.0.1", port=1))
    assert not connection.alive
    assert connection.lost.called


@pytest_twisted.ensureDeferred
async def test_one_that_the_server_refuses_ends_with_the_reason(shared_dsn, errors_logged):
    connection = Connection(reactor, Bounds())
    with pytest.raises(Lost, match="does not exist"):
        await connection.open(make_dsn(shared_dsn, dbname="nowhere"))
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_one_that_is_hung_up_on_ends_quietly(shared_dsn, errors_logged):
    with Proxy("/no/server/here") as proxy:
        connection = Connection(reactor, Bounds())
        with pytest.raises(SessionError):
            await connection.open(make_dsn(shared_dsn, host="127.0.0.1", port=proxy.port))
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_a_session_that_libpq_will_not_even_try_ends_too(shared_dsn):
    connection = Connection(reactor, QUICK)
    with pytest.raises(SessionError):
        await connection.open(make_dsn(shared_dsn, sslmode="nonsense"))
    assert not connection.alive


@pytest_twisted.ensureDeferred
async def test_giving_up_an_attempt_to_connect_ends_it(shared_dsn):
    with postgres_proxy(shared_dsn) as (proxy, through):
        proxy.blackhole()
        connection = Connection(reactor, Bounds())
        opening = Deferred.fromCoroutine(connection.open(through))
        await until(lambda: proxy.accepted)
        opening.cancel()
        with pytest.raises(CancelledError):
            await opening
        assert not connection.alive


@pytest_twisted.ensureDeferred
async def test_giving_up_an_answer_that_has_just_arrived_is_no_defect(shared_dsn, errors_logged):
    connection = Connection(reactor, Bounds())
    await connection.open(shared_dsn)
    asked = Deferred.fromCoroutine(connection.run("SELECT 1"))
    read_but_not_told(connection)
    asked.cancel()
    with pytest.raises(CancelledError):
        await asked
    await deferLater(reactor, 0.0)
    assert not connection.alive
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_an_answer_that_arrives_as_the_session_ends_is_lost_with_its_rows(shared_dsn, errors_logged):
    connection = Connection(reactor, Bounds())
    await connection.open(shared_dsn)
    asked = Deferred.fromCoroutine(connection.run("SELECT 1"))
    read_but_not_told(connection)
    connection.end(SessionError("stopped"))
    with pytest.raises(Lost, match="stopped"):
        await asked
    await deferLater(reactor, 0.0)
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_one_whose_end_is_noticed_while_much_is_sent_leaves_its_descriptor_to_the_next(shared_dsn, errors_logged):
    watched = len(reactor.getReaders())
    connection = Connection(reactor, Bounds())
    await connection.open(shared_dsn)
    hung_up_on(connection)
    with pytest.raises(NotSent):
        await connection.run("SELECT length(%s)", ("x" * 10_000_000,))
    assert not connection.alive
    assert len(reactor.getReaders()) == watched
    successor = Connection(reactor, Bounds())
    await successor.open(shared_dsn)
    assert (await successor.run("SELECT 1")).fetchall() == [(1,)]
    successor.end(SessionError("the test is over"))
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_after_a_statement_that_cannot_be_sent_the_end_of_the_session_is_still_noticed(shared_dsn):
    connection = Connection(reactor, Bounds())
    await connection.open(shared_dsn)
    with pytest.raises(IndexError):
        await connection.run("SELECT %s, %s", (1,))
    hung_up_on(connection)
    assert isinstance(await connection.lost, psycopg2.OperationalError)


@pytest_twisted.ensureDeferred
async def test_a_session_that_is_there_just_too_late_ends_with_the_reason(shared_dsn, errors_logged):
    connection = Connection(reactor, Bounds())
    opening = Deferred.fromCoroutine(connection.open(shared_dsn))
    while connection._wire._pollingD is not None:
        assert select.select([connection._wire], [connection._wire], [], 5.0)
        connection._wire.doWrite()
    connection.end(TimeoutError("too late"))
    with pytest.raises(Lost, match="too late"):
        await opening
    assert errors_logged == []


@pytest_twisted.ensureDeferred
async def test_two_statements_at_once_are_a_defect_and_the_first_is_answered(shared_dsn):
    connection = Connection(reactor, Bounds())
    await connection.open(shared_dsn)
    first = Deferred.fromCoroutine(connection.run("SELECT 1"))
    with pytest.raises(RuntimeError, match="one statement at a time"):
        await connection.run("SELECT 2")
    assert (await first).fetchall() == [(1,)]
    connection.end(SessionError("the test is over"))
    with pytest.raises(NotSent):
        await connection.run("SELECT 3")


@pytest_twisted.ensureDeferred
async def test_without_a_bound_a_statement_takes_as_long_as_it_takes(shared_dsn):
    connection = Connection(reactor, Bounds(statement=None, grace=0.0))
    await connection.open(shared_dsn)
    settings = "current_setting('statement_timeout') || current_setting('lock_timeout')"
    assert (await connection.run(f"SELECT {settings} FROM pg_sleep(0.1)")).fetchall() == [("00",)]
    connection.end(SessionError("the test is over"))
