"""What only PostgreSQL's form of the log has: its plans, its sessions, and refusals of the database's own."""

import string
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from msgspec.structs import replace
from psycopg2.extensions import parse_dsn
from twisted.internet.defer import Deferred, DeferredList

from chatd.records.logs import Ack, Page, Revision
from chatd.records.reading import MAX_UNREAD, Moved, Read
from chatd.store import announcements as announcement_store
from chatd.store import changes, hidden, listing, outcomes, pages, personal, reactions, reading, tallies
from chatd.store import conversations as conversation_store
from chatd.store import groups as group_store
from chatd.store import keys as key_store
from chatd.store import log as log_store
from chatd.store.arrays import bytea_array, nullable_array, plain_array, text_array
from chatd.store.conversations import PostgresConversations
from chatd.store.migrate import load
from chatd.store.refusals import Refused, Repeated
from tests.kit.stores import draft, migrated, new_id, new_user, notice, open_one, postgres_stores, say
from tests.kit.until import until

CONVERSATIONS = 400
EACH = 125
LONG = 10_000
LIMIT = 101
FILL = f"""
CREATE SCHEMA chatd;
{"".join(migration.sql for migration in load())}
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
ALTER TABLE chatd.messages SET (autovacuum_enabled = off);
ALTER TABLE chatd.changes SET (autovacuum_enabled = off);

INSERT INTO chatd.conversations (conversation_id, kind, last_seq)
SELECT id(n), 'direct', {2 * EACH} FROM generate_series(1, {CONVERSATIONS}) AS n;
INSERT INTO chatd.conversations (conversation_id, kind)
SELECT id(n), 'queue' FROM generate_series({CONVERSATIONS + 1}, 50000) AS n;
INSERT INTO chatd.members (conversation_id, user_id)
SELECT id(n), 'user-' || u FROM generate_series(1, {CONVERSATIONS}) AS n, generate_series(1, 2) AS u;
INSERT INTO chatd.members (conversation_id, user_id)
SELECT conversation_id, 'reader-' || conversation_id FROM chatd.conversations WHERE kind = 'queue';
INSERT INTO chatd.members SELECT id(n), 'busy' FROM generate_series(1, 60) AS n;
INSERT INTO chatd.messages
SELECT id(n), 2 * s, now(), 'user-1', 'c' || s || '/' || n, 'x'
FROM generate_series(1, {EACH}) AS s, generate_series(1, {CONVERSATIONS}) AS n;
INSERT INTO chatd.changes
SELECT id(n), 2 * s - 1, now(), 'kind', 'user-1', 'c' || s, NULL, 'x'
FROM generate_series(1, {EACH}) AS s, generate_series(1, {CONVERSATIONS}) AS n;
INSERT INTO chatd.receipts SELECT author, client_id, conversation_id, seq, at, 'd' FROM chatd.messages;
INSERT INTO chatd.device_cursors SELECT user_id, 'phone', conversation_id, 1 FROM chatd.members LIMIT 20000;
INSERT INTO chatd.reactions
SELECT id(n), 2 * s, 'user-' || u, 'm', 2 * s - 1
FROM generate_series(1, 20) AS s, generate_series(1, {CONVERSATIONS}) AS n, generate_series(1, 2) AS u;
INSERT INTO chatd.reaction_counts
SELECT conversation_id, target_seq, mark, count(*) FROM chatd.reactions GROUP BY 1, 2, 3;
INSERT INTO chatd.hidden
SELECT id(n), 'user-2', 2 * s FROM generate_series(1, 50) AS s, generate_series(1, {CONVERSATIONS}) AS n;
INSERT INTO chatd.data_keys SELECT n, '1', 'w' FROM generate_series(1, 10000) AS n;
ANALYZE;

-- Much is said in the first conversation, of which the statistics know nothing.
INSERT INTO chatd.messages
SELECT id(1), s, now(), 'user-1', 'd' || s, 'x' FROM generate_series({2 * EACH + 1}, {LONG}) AS s;
UPDATE chatd.messages SET thread_seq = 2 + 2 * (seq / 10 % 2), pinned_seq = {LONG}
WHERE conversation_id = id(1) AND seq > {2 * EACH} AND seq % 10 = 0;
UPDATE chatd.conversations SET last_seq = {LONG} WHERE conversation_id = id(1);

SET plan_cache_mode = force_generic_plan;
"""


def id(n):
    return f"00000000-0000-8000-8000-{n:012x}"


def entries(cursors, *, reader="user-1"):
    """A page of entries behind these cursors: its statement and parameters. ``user-2`` has hidden many messages."""
    parameters = (plain_array(cursors), plain_array(cursors.values()), reader, LIMIT)
    return "EXECUTE chatd_entries (%s, %s, %s, %s)", parameters


def messages(low, high, *, newest=False, reader="user-1", **narrowed):
    """A page of messages: its statement and parameters."""
    asked = Page(conversation=id(1), reader=reader, low=low, high=high, limit=LIMIT, newest=newest, **narrowed)
    return pages.statement(asked), pages.parameters(asked)


MANY = {id(n): 0 for n in range(1, 201)}
PAGES = {
    "the first entries": entries({id(1): 0}),
    "entries in the middle": entries({id(1): LONG // 2, id(2): 100}),
    "the entries of many": entries(MANY),
    "entries that are hidden": entries(MANY, reader="user-2"),
    "messages that are hidden": messages(0, 2**53 - 1, reader="user-2"),
    "the newest messages": messages(0, 2**53 - 1, newest=True),
    "messages before": messages(0, LONG // 2, newest=True),
    "messages after": messages(LONG // 2, 2**53 - 1),
    "the oldest messages": messages(0, 2**53 - 1),
    "a thread": messages(0, 2**53 - 1, thread=2),
    "the middle of a thread": messages(LONG // 2, 2**53 - 1, thread=4),
    "what is pinned": messages(0, 2**53 - 1, pinned=True),
    "what is pinned in the middle": messages(LONG // 2, 2**53 - 1, pinned=True),
}
APPEND = (
    f"EXECUTE chatd_append ({', '.join(['%s'] * 11)})",
    (
        *(plain_array([id(1), id(2)]), text_array("ab"), text_array("cd")),
        *(bytea_array([b"", b""]), bytea_array([b"", b""]), plain_array([0, 0]), nullable_array([None, 4])),
        *(plain_array([1]), text_array("a"), plain_array([1, 2]), plain_array([7, -7])),
    ),
)
ACKNOWLEDGE = (
    "EXECUTE chatd_acknowledge (%s, %s, %s, %s)",
    (text_array(["user-1", "user-2"]), text_array("de"), plain_array([id(1), id(2)]), plain_array([1, 2])),
)
OPEN = (
    f"EXECUTE chatd_open ({', '.join(['%s'] * 11)})",
    (
        *(plain_array([id(60_000)]), plain_array(["direct"])),
        *(plain_array([id(60_000)] * 2), text_array("ab")),
        *(plain_array([id(60_000)] * 2), plain_array([id(500), id(501)]), text_array("ab"), text_array("kk")),
        *(text_array("aa"), text_array("cd"), bytea_array([b"", b""])),
    ),
)
MARK = (plain_array([id(1)]), plain_array([2]), bytea_array([b"m"]))
REACTED = {"conversation": id(1), "target": 2, "after": 0, "limit": LIMIT, "mark": b"m"}
STATEMENTS = {
    **PAGES,
    "tails": (
        log_store.TAILS,
        {"conversations": plain_array(MANY), "after": plain_array(MANY.values()), "limit": LIMIT},
    ),
    "append": APPEND,
    "repeats": (changes.REPEATS, (text_array("ab"), text_array("cd"))),
    "open": OPEN,
    "acknowledge": ACKNOWLEDGE,
    "begin": (changes.BEGIN, (plain_array([id(70_000)]), plain_array(["group"]), plain_array([True]))),
    "lock": (changes.LOCK, (plain_array([id(1), id(2)]),)),
    "queues": (changes.QUEUES, (plain_array([id(500), id(501)]), text_array("ab"))),
    "rosters": (changes.ROSTERS, (plain_array([id(1), id(2)]),)),
    "states": (changes.STATES, (plain_array([id(1)] * 2), plain_array([2, 4]))),
    "revised": (
        outcomes.REVISED,
        (plain_array([id(1)]), plain_array([2]), *(nullable_array([n]) for n in (7, None, 9))),
    ),
    "forget": (outcomes.FORGET, (plain_array([id(1)]), plain_array([2]))),
    "latest rosters": (conversation_store.ROSTERS, (plain_array([id(1), id(2)]),)),
    "membership": (conversation_store.MEMBERSHIP, (id(1), "user-1")),
    "get": (conversation_store.GET, (id(1),)),
    "marks": (reading.MARKS, (id(1),)),
    "receipts": (reading.RECEIPTS, {"conversation": id(1), "seq": 2, "author": "user-1"}),
    "read": (
        "EXECUTE chatd_read (%s, %s, %s, %s)",
        (
            text_array(["user-1", "user-2"]),
            plain_array([id(1), id(2)]),
            plain_array([1, 2]),
            plain_array([True, False]),
        ),
    ),
    "set": (
        personal.SET,
        (text_array(["user-1"]), plain_array([id(1)]), text_array(["archive"]), nullable_array([None])),
    ),
    "one conversation as somebody has it": (
        listing.statement(archived=None),
        listing.parameters("user-1", id=id(1)),
    ),
    "the archive of a busy person": (
        listing.statement(archived=True),
        listing.parameters("busy", at=None, id=None, limit=LIMIT),
    ),
    "positions of somebody": (conversation_store.POSITIONS, ("phone", f"reader-{id(500)}")),
    "the first page of somebody's list": (
        listing.statement(archived=False),
        listing.parameters(f"reader-{id(500)}", at=None, id=None, limit=LIMIT),
    ),
    "the positions of a busy person": (conversation_store.POSITIONS, ("phone", "busy")),
    "the next page of a busy person's list": (
        listing.statement(archived=False),
        listing.parameters("busy", at="2999-01-01", id=id(2), limit=LIMIT),
    ),
    "present": (reactions.PRESENT, (plain_array([id(1)]), plain_array([2]), text_array(["user-1"]))),
    "take back reactions": (
        reactions.REMOVE,
        (plain_array([id(1)]), plain_array([2]), text_array(["user-1"]), bytea_array([b"m"])),
    ),
    "add reactions": (
        reactions.ADD,
        (plain_array([id(1)]), plain_array([2]), text_array(["a"]), bytea_array([b"m"]), plain_array([9])),
    ),
    "more reactions": (reactions.MORE, (*MARK, plain_array([1]))),
    "fewer reactions": (reactions.FEWER, (*MARK, plain_array([-1]))),
    "no reactions": (reactions.NONE_LEFT, MARK),
    "erase reactions": (reactions.ERASE, (plain_array([id(1)]), plain_array([2]))),
    "tallies": (tallies.TALLIES, {"conversation": id(1), "reader": "user-1", "seqs": plain_array(range(2, 102))}),
    "reactions": (tallies.REACTIONS.format(narrowed=""), REACTED),
    "reactions of one kind": (tallies.REACTIONS.format(narrowed=tallies.ONE_MARK), REACTED),
    "hide": (hidden.HIDE, (plain_array([id(1)]), text_array(["user-1"]), plain_array([2]))),
    "keys": (key_store.KEYS, (text_array("ab"),)),
    "what stands at some places": (log_store.AT, (plain_array([id(1), id(2)]), plain_array([1, 2]))),
    "a group": (group_store.GROUP, ("user-1", id(1))),
    "members": (
        group_store.PEOPLE,
        {"conversation": id(1), "standing": "member", "after": "a", "now": "2026-01-01", "limit": LIMIT},
    ),
    "invitations": (
        group_store.INVITATIONS,
        {"user": "busy", "now": "2026-01-01", "after": id(2), "limit": LIMIT},
    ),
    "must reads": (announcement_store.MUST_READS, (plain_array([id(1)]), plain_array([2]))),
    "confirm": (announcement_store.CONFIRM, {"conversation": id(1), "seq": 2, "user": "user-1"}),
    "how many confirmed": (announcement_store.CONFIRMED, (id(1), 2)),
    "who confirmed": (announcement_store.CONFIRMATIONS, (id(1), 2, "", LIMIT)),
}


@pytest.fixture(scope="module")
def filled(cluster) -> Iterator[Any]:
    """A session like the pool's with a database that holds much."""
    with closing(psycopg2.connect(cluster.create_database())) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(FILL)
        for statement in log_store.PREPARED + conversation_store.PREPARED + reading.PREPARED:
            cursor.execute(statement)
        yield cursor


def plan(cursor, statement, params, options=""):
    cursor.execute(f"EXPLAIN (FORMAT JSON {options}) {statement}", params)
    [[[explained]]] = cursor.fetchall()
    return nodes(explained["Plan"])


def nodes(node):
    return [node, *(found for child in node.get("Plans", ()) for found in nodes(child))]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_whole_table(filled, name):
    found = plan(filled, *STATEMENTS[name])
    assert [node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"] == []
    assert any("Index" in node["Node Type"] or node["Node Type"] == "ModifyTable" for node in found)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_costs_what_it_shows_even_where_the_statistics_are_stale(filled, name):
    found = plan(filled, *PAGES[name], ", ANALYZE, TIMING OFF")
    tables = [node for node in found if node.get("Relation Name") in ("messages", "changes")]
    read = sum((node["Actual Rows"] + thrown_away(node)) * node["Actual Loops"] for node in tables)
    assert found[0]["Actual Rows"] == LIMIT
    assert LIMIT <= read <= LIMIT + 2


def thrown_away(node):
    return node.get("Rows Removed by Filter", 0)


def rows_read(found, table):
    return sum(node["Actual Rows"] * node["Actual Loops"] for node in found if node.get("Relation Name") == table)


def test_a_list_costs_what_the_person_has_and_looks_into_what_it_shows(filled):
    asked = listing.parameters("busy", at=None, id=None, limit=10)
    found = plan(filled, listing.statement(archived=False), asked, ", ANALYZE, TIMING OFF")
    assert (found[0]["Actual Rows"], rows_read(found, "conversations")) == (10, 60 + 10)
    looked_at = [node for node in found if node.get("Relation Name") in ("messages", "changes", "mentions")]
    assert {node["Actual Loops"] for node in looked_at} <= {0, 10}


@pytest.mark.parametrize(("user", "most"), [("user-1", listing.MAX_LOOKED_AT), ("user-2", MAX_UNREAD + 50)])
def test_counting_reads_no_more_of_a_long_log_than_it_counts(filled, user, most):
    """One wrote all of it; the other wrote nothing, and has hidden 50 of them."""
    found = plan(filled, listing.statement(archived=None), listing.parameters(user, id=id(1)), ", ANALYZE, TIMING OFF")
    assert most <= rows_read(found, "messages") <= most + 5
    mentions = [node["Index Name"] for node in found if node.get("Relation Name") == "mentions"]
    assert mentions == ["mentions_pkey"]


@pytest.fixture(scope="module")
def dsn(cluster) -> str:
    """A database for all of these: they use conversations of their own."""
    return cluster.create_database()


@pytest.fixture
def pool(start_pool):
    return pytest_twisted.blockon(Deferred.fromCoroutine(migrated(start_pool(size=4))))


@pytest.fixture
def stores(pool):
    return postgres_stores(pool, lambda error: None)


@pytest_twisted.ensureDeferred
async def test_no_statement_reads_a_whole_table_even_in_a_new_database(pool):
    for statement, params in STATEMENTS.values():
        [[[explained]]] = await pool.query(f"EXPLAIN (FORMAT JSON) {statement}", params)
        assert [node for node in nodes(explained["Plan"]) if node["Node Type"] == "Seq Scan"] == []


@pytest_twisted.ensureDeferred
async def test_every_session_commits_durably_whatever_the_database_says(start_pool, dsn, sql):
    sql(f"ALTER DATABASE {parse_dsn(dsn)['dbname']} SET synchronous_commit = off")
    assert sql("SHOW synchronous_commit") == [("on",)]  # a session of before
    pool = await migrated(start_pool(size=3))
    await until(lambda: pool.occupancy.alive == 3)
    settings = await DeferredList(
        [
            Deferred.fromCoroutine(
                pool.query(
                    "SELECT pg_backend_pid(), setting FROM pg_settings, pg_sleep(0.05)"
                    " WHERE name = 'synchronous_commit'"
                )
            )
            for _ in range(3)
        ]
    )
    assert {setting for _, [[_, setting]] in settings} == {"on"}
    assert len({pid for _, [[pid, _]] in settings}) == 3


LONG_NAME = "".join(Random(1).choices(string.ascii_letters, k=20_000))


@pytest.mark.parametrize(
    "unfit",
    [
        {"author": "a\0b"},
        {"author": "\ud800"},
        {"author": LONG_NAME},
        {"client_id": "a\0b"},
        {"conversation": "nothing like an id"},
    ],
    ids=["NUL", "a surrogate", "too long for an index", "NUL in client_id", "no id"],
)
@pytest_twisted.ensureDeferred
async def test_what_the_database_cannot_hold_is_refused_and_changes_nothing(stores, unfit):
    conversation = await open_one(stores)
    with pytest.raises(Refused):
        await stores.log.append([draft(conversation), draft(**{"conversation": conversation, **unfit})])
    assert (await stores.conversations.get(conversation)).last_seq == 0


@pytest_twisted.ensureDeferred
async def test_a_counter_that_went_back_is_not_taken_for_a_repeat(stores, sql):
    conversation = await open_one(stores)
    await say(stores, conversation, "a")
    sql("UPDATE chatd.conversations SET last_seq = 0 WHERE conversation_id = %s", conversation)
    with pytest.raises(Refused) as raised:
        await stores.log.append([draft(conversation)])
    assert raised.value.__cause__.diag.constraint_name == "messages_pkey"


@pytest.fixture
def slowly(sql):
    """Has every row that is written to a table take its time, so that statements meet halfway."""
    tables = []

    def slow(table, event):
        tables.append(table)
        sql(
            f"""
            CREATE OR REPLACE FUNCTION chatd.pause() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END $$;
            CREATE TRIGGER pause BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION chatd.pause()
            """
        )

    yield slow
    for table in tables:
        sql(f"DROP TRIGGER pause ON {table}")


def at_once(calls):
    """What became of each, all under way at the same time: its result or the type of its error."""
    verdicts = DeferredList([Deferred.fromCoroutine(call) for call in calls], consumeErrors=True)
    return verdicts.addCallback(lambda all: [one if done else one.type for done, one in all])


@pytest_twisted.ensureDeferred
async def test_batches_meet_in_one_order_whatever_that_of_their_conversations(stores, slowly, cluster):
    written = len(cluster.log)
    conversations = [await open_one(stores) for _ in range(3)]
    slowly("chatd.conversations", "UPDATE")
    for _ in range(3):
        orders = (conversations, conversations[::-1])
        answered = await at_once(stores.log.append([draft(one) for one in order]) for order in orders)
        assert [len(places) for places in answered] == [3, 3]
    assert "deadlock" not in cluster.log[written:]


@pytest_twisted.ensureDeferred
async def test_batches_meet_in_one_order_whatever_that_of_their_client_ids(stores, slowly, cluster):
    written = len(cluster.log)
    one, other = await open_one(stores), await open_one(stores)
    slowly("chatd.receipts", "INSERT")
    batch = [draft(one), draft(one), draft(one)]
    turned = [draft(other, client_id=first.client_id) for first in reversed(batch)]
    assert Repeated in await at_once(stores.log.append(drafts) for drafts in (batch, turned))
    assert "deadlock" not in cluster.log[written:]


@pytest_twisted.ensureDeferred
async def test_openings_meet_in_one_order_whatever_that_of_their_queues(pool, slowly, cluster):
    written = len(cluster.log)
    people = [(new_id(), new_user()) for _ in range(3)]
    slowly("chatd.conversations", "INSERT OR UPDATE")
    for _ in range(2):
        answered = await at_once(
            PostgresConversations(pool, max_waiting=1, failed=pytest.fail).open(
                new_id(), "direct", [user for _, user in people], [notice(*person) for person in order]
            )
            for order in (people, people[::-1])
        )
        assert [len(entries) for entries in answered] == [3, 3]
    assert "deadlock" not in cluster.log[written:]


@pytest_twisted.ensureDeferred
async def test_one_ack_that_cannot_be_stored_fails_alone(pool):
    unforeseen = []
    stores = postgres_stores(pool, unforeseen.append)
    alice = new_user()
    conversation = await open_one(stores, alice)
    await say(stores, conversation, "a")
    asked = [Ack(user=alice, device=device, conversation=conversation, seq=1) for device in ("a", "b", "\0", "c", "d")]
    verdicts = await at_once(stores.conversations.acknowledge(ack) for ack in asked)
    assert [verdict in (True, False) for verdict in verdicts] == [True, True, False, True, True]
    assert [type(error) for error in unforeseen] == [ValueError]
    positions = await stores.conversations.positions(alice, "d")
    assert [position.acknowledged for position in positions] == [1]


@pytest_twisted.ensureDeferred
async def test_mentions_are_kept_of_what_a_message_says_now(stores, sql):
    conversation = await open_one(stores)
    one, other = (draft(conversation, mentions=mentions) for mentions in (("bob", "alice"), ("bob",)))
    await stores.log.append([one, other])
    edit = draft(
        conversation,
        kind="message.edited",
        revision=Revision(target=1, revise=lambda state, seq: replace(state, edited=seq)),
        mentions=("alice",),
    )
    deletion = draft(
        conversation,
        kind="message.deleted",
        revision=Revision(target=2, revise=lambda state, seq: replace(state, deleted=seq)),
    )
    await stores.log.change([edit, deletion, draft(conversation, mentions=("bob",))])
    kept = sql("SELECT seq, user_id FROM chatd.mentions WHERE conversation_id = %s ORDER BY seq", conversation)
    assert kept == [(1, "alice"), (5, "bob")]


@pytest_twisted.ensureDeferred
async def test_what_came_during_a_mute_that_has_ended_leaves_a_conversation_in_the_archive(stores, sql):
    alice = new_user()
    conversation = await open_one(stores, alice)
    await say(stores, conversation, "a")
    sql(
        """
        INSERT INTO chatd.personal (user_id, conversation_id, muted, muted_until, archived_seq)
        VALUES (%s, %s, true, now(), 1)
        """,
        alice,
        conversation,
    )
    for ago, archived in (("1 s", True), ("-1 s", False)):
        await say(stores, conversation, "b")
        sql(
            "UPDATE chatd.messages SET at = (SELECT muted_until FROM chatd.personal WHERE user_id = %s) - %s::interval"
            " WHERE conversation_id = %s",
            alice,
            ago,
            conversation,
        )
        view = await stores.reading.view(alice, conversation)
        assert (view.muted, view.archived) == (False, archived)


@pytest_twisted.ensureDeferred
async def test_reads_and_acks_meet_in_one_order_whatever_that_of_their_conversations(stores, slowly, cluster):
    written, alice = len(cluster.log), new_user()
    conversations = [await open_one(stores, alice) for _ in range(3)]
    for conversation in conversations:
        await say(stores, conversation, "a", "b", author=alice)
    slowly("chatd.members", "UPDATE")
    for seq in (1, 2):
        reads = [Read(user=alice, conversation=one, seq=seq, private=False) for one in conversations]
        acks = [Ack(user=alice, device="d", conversation=one, seq=seq) for one in conversations[::-1]]
        calls = [stores.conversations.acknowledge(acks[0]), stores.reading.read(reads[0])]
        calls += [stores.reading.read(one) for one in reads] + [stores.conversations.acknowledge(one) for one in acks]
        answered = await at_once(calls)
        assert {type(one) for one in answered} == {bool, Moved}
    assert "deadlock" not in cluster.log[written:]
