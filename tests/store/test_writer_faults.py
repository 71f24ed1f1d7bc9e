"""The log writer on a database, or a network, that fails: nothing acknowledged is lost, nothing is stored twice."""

from contextlib import closing

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater

from chatd.errors import ChatdError, OutcomeUnknown, Unavailable
from chatd.store.log import PostgresLog
from tests.kit.proxy import postgres_proxy
from tests.kit.stores import draft, migrated, open_one, postgres_stores
from tests.kit.until import until
from tests.kit.writing import Writing

APPEND = b"EXECUTE chatd_append"
ROWS = "SELECT seq, convert_from(sealed, 'UTF8') FROM chatd.messages WHERE conversation_id = %s ORDER BY seq"
OURS = "FROM pg_stat_activity WHERE application_name = 'chatd'"
WAITING = f"SELECT 1 {OURS} AND wait_event_type = 'Lock' AND query LIKE 'EXECUTE chatd_append%%'"
TERMINATE = f"SELECT pg_terminate_backend(pid, 5000) {OURS}"
QUICK = {"connect_timeout": 0.5, "statement_timeout": 0.4, "acquire_timeout": 0.4}


@pytest.fixture
def start_writing(start_pool):
    """Starts a writer with a pool of its own."""

    async def start(dsn=None, **settings):
        pool = await migrated(start_pool(dsn, **settings))
        writing = Writing(PostgresLog(pool))
        writing.stores = postgres_stores(pool, writing.unforeseen.append)
        return writing

    return start


async def outcomes(deferreds):
    """The ``seq`` of each draft, or the type of the error that it got."""
    found = await DeferredList(deferreds, consumeErrors=True)
    await deferLater(reactor, 0.0)
    return [one.seq if done else one.type for done, one in found]


async def insist(writing, draft, errors):
    """Send it again as long as the error says so; its place."""
    while True:
        try:
            return await writing.writer.append(draft)
        except ChatdError as error:
            if not error.retryable:
                raise
            errors.append(error)
            await deferLater(reactor, 0.02)


async def insist_on_all(writing, *drafts):
    """Send all until they have their places; the ``seq`` of each."""
    return await outcomes([Deferred.fromCoroutine(insist(writing, draft, [])) for draft in drafts])


@pytest.mark.parametrize("then_cut", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_lost_reply_to_a_commit_is_looked_up_by_the_writer_itself(start_writing, dsn, sql, then_cut):
    with postgres_proxy(dsn) as (proxy, through):
        writing = await start_writing(through, **QUICK)
        conversation = await open_one(writing.stores)
        lost = proxy.lose_reply(APPEND, then_cut=then_cut)
        assert await outcomes(writing.append(*(draft(conversation, text) for text in "abcd"))) == [1, 2, 3, 4]
        assert lost.struck.is_set()
        lost = proxy.lose_reply(APPEND, then_cut=then_cut)
        first = writing.append(draft(conversation, "e"))
        await until(lost.struck.is_set)
        assert await outcomes(first + writing.append(draft(conversation, "f"), draft(conversation, "g"))) == [5, 6, 7]
    assert sql(ROWS, conversation) == [(seq, text) for seq, text in enumerate("abcdefg", start=1)]
    assert writing.news == [(text, seq, text in "ae") for seq, text in enumerate("abcdefg", start=1)]
    assert writing.unforeseen == []


@pytest_twisted.ensureDeferred
async def test_when_the_database_stays_away_the_outcome_is_unknown_and_what_waited_was_not_done(
    start_writing, dsn, sql
):
    with postgres_proxy(dsn) as (proxy, through):
        writing = await start_writing(through, **QUICK)
        conversation, other = await open_one(writing.stores), await open_one(writing.stores)
        lost = proxy.lose_reply(APPEND, then_cut=False)
        sent = draft(conversation, "a")
        waited = [draft(conversation, "b"), draft(other, "c")]
        results = writing.append(sent, *waited)
        await until(lost.struck.is_set)
        proxy.refuse()
        assert await outcomes(results) == [OutcomeUnknown, Unavailable, Unavailable]
        assert (writing.news, sql(ROWS, conversation), sql(ROWS, other)) == ([], [(1, "a")], [])
        proxy.passing()
        assert await insist_on_all(writing, draft(conversation, "d")) == [2]
        assert writing.news == [("d", 2, True)]
        assert await outcomes(writing.append(waited[1], sent, waited[0])) == [1, 1, 3]
    assert sql(ROWS, conversation) == [(1, "a"), (2, "d"), (3, "b")]
    assert writing.news[1:] == [("c", 1, False), ("a", 1, True), ("b", 3, False)]
    assert sql("SELECT count(*) FROM chatd.receipts") == [(4,)]


@pytest_twisted.ensureDeferred
async def test_a_network_that_swallows_everything_is_noticed_and_what_was_sent_is_stored_once(start_writing, dsn, sql):
    with postgres_proxy(dsn) as (proxy, through):
        writing = await start_writing(through, **QUICK)
        conversation = await open_one(writing.stores)
        drafts = [draft(conversation, text) for text in "abc"]
        proxy.blackhole()
        told = await outcomes(writing.append(*drafts))
        assert told == [OutcomeUnknown, Unavailable, Unavailable]
        proxy.passing()
        assert sorted(await insist_on_all(writing, *drafts)) == [1, 2, 3]
    assert sorted(text for _, text in sql(ROWS, conversation)) == ["a", "b", "c"]


@pytest_twisted.ensureDeferred
async def test_a_session_that_is_ended_in_the_middle_of_a_batch_costs_nothing(start_writing, dsn, sql):
    writing = await start_writing()
    conversation = await open_one(writing.stores)
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM chatd.conversations FOR UPDATE")
        results = writing.append(*(draft(conversation, text) for text in "abc"))
        await until(lambda: sql(WAITING))
        sql(TERMINATE)
        connection.rollback()
    assert await outcomes(results) == [1, 2, 3]
    assert sql(ROWS, conversation) == [(1, "a"), (2, "b"), (3, "c")]
    assert [(text, seq) for text, seq, _ in writing.news] == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest_twisted.ensureDeferred
async def test_a_database_that_goes_and_comes_back_under_load_loses_nothing_acknowledged(
    start_writing, cluster, dsn, sql, end
):
    writers = [await start_writing(**QUICK) for _ in range(2)]
    conversations = [await open_one(writers[0].stores) for _ in range(3)]
    acknowledged, errors, going = {}, [], [True]

    async def lane(name, writing):
        number = 0
        while going:
            said = draft(conversations[number % 3], f"{name}/{number}", author=name)
            place = await insist(writing, said, errors)
            acknowledged[place.conversation, place.seq] = f"{name}/{number}"
            number += 1

    lanes = [Deferred.fromCoroutine(lane(f"lane-{n}", writers[n % 2])) for n in range(8)]
    for _ in range(2):
        before = len(acknowledged)
        await until(lambda before=before: len(acknowledged) > before + 50)
        errors.clear()
        getattr(cluster, end)()
        try:
            await until(lambda: len(errors) >= 8)
        finally:
            cluster.start()
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 50)
    going.clear()
    await gatherResults(lanes)
    await deferLater(reactor, 0.0)
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        stored = {}
        for conversation in conversations:
            cursor.execute(ROWS, (conversation,))
            rows = cursor.fetchall()
            assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
            stored |= {(conversation, seq): text for seq, text in rows}
    assert stored == acknowledged
    for n in range(8):
        numbers = [int(text.partition("/")[2]) for text in stored.values() if text.startswith(f"lane-{n}/")]
        assert sorted(numbers) == list(range(len(numbers)))
    published = {(one.entry.conversation, one.entry.seq) for writing in writers for one in writing.published}
    assert published == stored.keys()
    for writing in writers:
        for conversation in conversations:
            sure = [
                seq for text, seq, doubtful in writing.news if stored.get((conversation, seq)) == text and not doubtful
            ]
            assert sure == sorted(set(sure))
    assert [writing.unforeseen for writing in writers] == [[], []]
