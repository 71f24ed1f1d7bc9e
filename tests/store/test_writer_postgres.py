"""The log writer on PostgreSQL: several of them, on the same conversations, at the same time."""

from contextlib import closing, contextmanager
from random import Random

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater

from chatd.errors import Conflict, Internal, OutcomeUnknown, Overloaded, Unavailable
from chatd.store.log import PostgresLog
from tests.kit.stores import draft, migrated, open_one, postgres_stores
from tests.kit.until import until
from tests.kit.writing import Writing

ROWS = "SELECT seq, author, convert_from(sealed, 'UTF8') FROM chatd.messages WHERE conversation_id = %s ORDER BY seq"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'EXECUTE chatd_append%%'"


@pytest.fixture(scope="module")
def dsn(cluster) -> str:
    """A database for all of these: they use conversations of their own."""
    return cluster.create_database()


@pytest.fixture
def start_writing(start_pool):
    """Starts a writer with a pool of its own."""

    async def start(max_waiting=10_000, **settings):
        pool = await migrated(start_pool(**settings))
        writing = Writing(PostgresLog(pool), max_waiting=max_waiting)
        writing.stores = postgres_stores(pool, writing.unforeseen.append)
        return writing

    return start


@pytest.fixture
def writing(start_writing):
    return pytest_twisted.blockon(Deferred.fromCoroutine(start_writing()))


@contextmanager
def locked(dsn, conversation):
    """Another session holds the conversation's counter."""
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM chatd.conversations WHERE conversation_id = %s FOR UPDATE", (conversation,))
        yield
        connection.rollback()


async def places(deferreds):
    """The place of each draft, when all have been answered and published."""
    found = await gatherResults(deferreds)
    await deferLater(reactor, 0.0)
    return found


async def outcomes(deferreds):
    """The ``seq`` of each draft, or the type of the error that it got."""
    found = await DeferredList(deferreds, consumeErrors=True)
    await deferLater(reactor, 0.0)
    return [one.seq if done else one.type for done, one in found]


@pytest_twisted.ensureDeferred
async def test_four_writers_on_the_same_conversations_keep_every_order_and_leave_no_hole(start_writing, sql, cluster):
    random, written = Random(4), len(cluster.log)
    writers = [await start_writing() for _ in range(4)]
    conversations = [await open_one(writers[0].stores) for _ in range(5)]
    sent = {(name, conversation): [] for name in range(len(writers)) for conversation in conversations}
    results = []
    for n in range(150):
        for name, writing in enumerate(writers):
            conversation = random.choice(conversations)
            sent[name, conversation].append(str(n))
            results += writing.append(draft(conversation, str(n), author=f"writer-{name}"))
    answered = await places(results)
    assert len({(place.conversation, place.seq) for place in answered}) == len(answered) == 600
    published = [one.entry for writing in writers for one in writing.published]
    for conversation in conversations:
        rows = sql(ROWS, conversation)
        assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
        for name, writing in enumerate(writers):
            assert [text for _, author, text in rows if author == f"writer-{name}"] == sent[name, conversation]
            seqs = [one.entry.seq for one in writing.published if one.entry.conversation == conversation]
            assert seqs == [seq for seq, author, _ in rows if author == f"writer-{name}"]
        assert sorted(entry.seq for entry in published if entry.conversation == conversation) == [
            row[0] for row in rows
        ]
        assert (await writers[0].stores.conversations.get(conversation)).last_seq == len(rows)
    assert "deadlock" not in cluster.log[written:]
    assert [writing.unforeseen for writing in writers] == [[]] * 4


@pytest_twisted.ensureDeferred
async def test_what_four_writers_commit_at_the_same_time_is_stored_once_and_all_get_its_place(
    start_writing, sql, cluster
):
    written = len(cluster.log)
    writers = [await start_writing() for _ in range(4)]
    conversations = [await open_one(writers[0].stores) for _ in range(3)]
    drafts = [draft(conversations[n % 3], str(n), author="everywhere") for n in range(60)]
    told = await gatherResults(
        [gatherResults(writing.append(*Random(name).sample(drafts, 60))) for name, writing in enumerate(writers)]
    )
    by_place = [{(place.conversation, place.seq) for place in answered} for answered in told]
    assert by_place == [by_place[0]] * 4
    assert len(by_place[0]) == 60
    for conversation in conversations:
        assert [seq for seq, _, _ in sql(ROWS, conversation)] == list(range(1, 21))
    assert "deadlock" not in cluster.log[written:]


@pytest_twisted.ensureDeferred
async def test_repeats_and_conflicts_within_a_batch_and_later(writing, sql):
    conversation = await open_one(writing.stores)
    said, more = draft(conversation, "a"), draft(conversation, "b")
    other = draft(conversation, "other", client_id=said.client_id)
    assert await outcomes(writing.append(draft(conversation, "-"), said, more, said, other)) == [1, 2, 3, 2, Conflict]
    assert await outcomes(writing.append(said, other, draft(conversation, "c"), more)) == [2, Conflict, 4, 3]
    assert [(seq, text) for seq, _, text in sql(ROWS, conversation)] == [(1, "-"), (2, "a"), (3, "b"), (4, "c")]


@pytest.mark.parametrize("poison", ["a\0b", "\ud800"])
@pytest_twisted.ensureDeferred
async def test_a_draft_that_postgresql_cannot_hold_fails_alone(writing, sql, poison):
    conversation = await open_one(writing.stores)
    texts = [*"abcdefgh"]
    drafts = [draft(conversation, text, author=poison if text == "e" else "alice") for text in texts]
    assert await outcomes(writing.append(*drafts)) == [1, 2, 3, 4, Internal, 5, 6, 7]
    assert [text for _, _, text in sql(ROWS, conversation)] == [*"abcdfgh"]
    assert [seq for _, seq, _ in writing.news] == [1, 2, 3, 4, 5, 6, 7]
    assert len(writing.unforeseen) == 1


@pytest.fixture
def trigger(sql):
    """Has this run for each message that is written: when the statement is done, or else at the commit. None: no more.

    Sessions that are still in it are ended after the test.
    """

    def make(body, *, deferred=False):
        sql("DROP TRIGGER IF EXISTS tested ON chatd.messages")
        if body is not None:
            sql(
                f"""
                CREATE OR REPLACE FUNCTION chatd.tested() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN {body}; RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER tested AFTER INSERT ON chatd.messages
                    DEFERRABLE INITIALLY {"DEFERRED" if deferred else "IMMEDIATE"}
                    FOR EACH ROW EXECUTE FUNCTION chatd.tested()
                """
            )

    yield make
    sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'chatd'")
    make(None)


@pytest_twisted.ensureDeferred
async def test_nothing_is_answered_or_published_before_postgresql_has_committed(writing, sql, trigger):
    conversation = await open_one(writing.stores)
    trigger("PERFORM pg_advisory_xact_lock(7)", deferred=True)
    sql("SELECT pg_advisory_lock(7)")
    results = writing.append(draft(conversation, "a"), draft(conversation, "b"))
    await until(lambda: sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
    assert sql(ROWS, conversation) == []
    assert ([result.called for result in results], writing.news) == ([False, False], [])
    sql("SELECT pg_advisory_unlock(7)")
    assert await outcomes(results) == [1, 2]
    assert writing.news == [("a", 1, False), ("b", 2, False)]


@pytest.mark.parametrize(
    ("code", "error", "unforeseen"), [("53100", Unavailable, 0), ("58030", Unavailable, 0), ("P0001", Internal, 1)]
)
@pytest_twisted.ensureDeferred
async def test_a_commit_that_fails_is_neither_answered_nor_published(writing, sql, trigger, code, error, unforeseen):
    conversation = await open_one(writing.stores)
    trigger(f"RAISE EXCEPTION 'no' USING ERRCODE = '{code}'", deferred=True)
    said = draft(conversation, "a")
    assert await outcomes(writing.append(said)) == [error]
    assert (writing.news, sql(ROWS, conversation)) == ([], [])
    assert len(writing.unforeseen) == unforeseen
    trigger(None)
    assert await outcomes(writing.append(said)) == [1]
    assert writing.news == [("a", 1, False)]


@pytest_twisted.ensureDeferred
async def test_a_full_queue_refuses_what_comes_and_changes_nothing(start_writing, dsn, sql):
    writing = await start_writing(max_waiting=3)
    conversation = await open_one(writing.stores)
    with locked(dsn, conversation):
        results = writing.append(*(draft(conversation, text) for text in "abcde"))
        assert await outcomes(results[4:]) == [Overloaded]
        await until(lambda: sql(WAITING))
        assert ([result.called for result in results[:4]], writing.news) == ([False] * 4, [])
    assert await outcomes(results[:4]) == [1, 2, 3, 4]
    assert [text for _, _, text in sql(ROWS, conversation)] == [*"abcd"]


@pytest_twisted.ensureDeferred
async def test_a_locked_conversation_holds_up_the_others_for_a_bounded_time(start_writing, dsn, sql):
    writing = await start_writing(statement_timeout=0.5)
    conversation, other = await open_one(writing.stores), await open_one(writing.stores)
    with locked(dsn, conversation):
        stuck, behind = writing.append(draft(conversation, "a"), draft(other, "b"))
        await until(lambda: sql(WAITING))
        assert not behind.called
        assert await outcomes([stuck, behind]) == [Overloaded, 1]
        together = writing.append(draft(other, "c"), draft(conversation, "d"), draft(other, "e"))
        assert await outcomes(together) == [2, Overloaded, Overloaded]
    assert [text for _, _, text in sql(ROWS, other)] == ["b", "c"]
    assert sql(ROWS, conversation) == []
    assert [text for text, _, _ in writing.news] == ["b", "c"]


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_too_slow_is_told_as_overload_and_changes_nothing(start_writing, sql, trigger):
    writing = await start_writing(statement_timeout=0.2)
    conversation = await open_one(writing.stores)
    trigger("PERFORM pg_sleep(20)")
    said = draft(conversation, "a")
    assert await outcomes(writing.append(said)) == [Overloaded]
    trigger(None)
    assert (writing.news, sql(ROWS, conversation)) == ([], [])
    assert await outcomes(writing.append(said)) == [1]


@pytest_twisted.ensureDeferred
async def test_a_commit_that_hangs_is_unknown_and_doubtful_until_it_is_over(start_writing, sql, trigger):
    writing = await start_writing(statement_timeout=0.2, acquire_timeout=1.0)
    conversation = await open_one(writing.stores)
    # PostgreSQL bounds statements and waits for locks, but no commits.
    trigger("WHILE NOT pg_try_advisory_xact_lock(7) LOOP PERFORM pg_sleep(0.01); END LOOP", deferred=True)
    sql("SELECT pg_advisory_lock(7)")
    said = draft(conversation, "a")
    assert await outcomes(writing.append(said)) == [OutcomeUnknown]
    assert (writing.news, sql(ROWS, conversation)) == ([], [])
    sql("SELECT pg_advisory_unlock(7)")
    await until(lambda: sql(ROWS, conversation))
    assert await outcomes(writing.append(draft(conversation, "b"), said)) == [2, 1]
    assert writing.news == [("b", 2, True), ("a", 1, True)]
    assert [text for _, _, text in sql(ROWS, conversation)] == ["a", "b"]
