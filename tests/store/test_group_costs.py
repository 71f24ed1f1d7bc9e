"""What a large group costs: nothing that is done to one person depends on how many the others are."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from chatd.handlers import rosters
from chatd.records.rosters import Roster, Rules
from chatd.settings.model import Groups
from chatd.store import changes
from chatd.store import groups as group_store
from chatd.store.connection import Connection
from tests.kit.stores import draft, migrated, new_id, postgres_stores
from tests.kit.writing import Writing

SMALL, LARGE, BATCH = 100, 10_000, 500
LIMITS = Groups(max_members=20_000)


@pytest.fixture(scope="module")
def dsn(cluster) -> str:
    return cluster.create_database()


@pytest.fixture
def pool(start_pool):
    return pytest_twisted.blockon(Deferred.fromCoroutine(migrated(start_pool(size=1))))


@pytest.fixture
def stores(pool):
    return postgres_stores(pool, lambda error: None)


@pytest.fixture
def statements(monkeypatch) -> Iterator[list[str]]:
    """All that is sent to the database."""
    sent: list[str] = []
    run = Connection.run

    def watched(self: Connection, sql: str, params: Any = None) -> Any:
        sent.append(sql)
        return run(self, sql, params)

    monkeypatch.setattr(Connection, "run", watched)
    return sent


async def change(stores, roster, decide, **more):
    """The roster after a change by alice."""
    made = draft(roster.conversation, kind="group.changed", roster=roster, decide=decide, **more)
    [place] = await stores.log.change([made])
    return place.roster


async def grown(stores, size):
    """A group of alice's of that size, to which people were added in batches."""
    group = Roster(conversation=new_id(), kind="group", members={})
    roster = await change(stores, group, partial(rosters.founded, "alice", (), Rules()), begins=True)
    users = [f"user{number:05}" for number in range(size - 1)]
    for start in range(0, len(users), BATCH):
        batch = users[start : start + BATCH]
        roster = await change(stores, roster, partial(rosters.added, "alice", batch, LIMITS))
    assert len(roster.members) == size
    return roster


async def rewritten(pool, roster):
    """How many rows of members the latest change of the group has written."""
    [[rows]] = await pool.query(
        """
        SELECT count(*) FROM chatd.members AS m JOIN chatd.conversations AS c USING (conversation_id)
        WHERE c.conversation_id = %s AND m.xmin = c.xmin
        """,
        (roster.conversation,),
    )
    return rows


CHANGES = {
    "one is added": (partial(rosters.added, "alice", ["new"], LIMITS), 1),
    "500 are added": (partial(rosters.added, "alice", [f"new{n}" for n in range(BATCH)], LIMITS), BATCH),
    "one is removed": (partial(rosters.removed, "alice", "user00007"), 1),
    "one gets a role": (partial(rosters.assigned, "alice", "user00008", "admin", LIMITS), 1),
    "it is deleted": (lambda roster, seq: rosters.changed(roster, {}, closed=True), 0),
}


@pytest_twisted.ensureDeferred
async def test_a_change_writes_the_rows_of_those_it_concerns_in_as_many_statements(pool, stores, statements):
    sent = {}
    for size in (SMALL, LARGE):
        roster = await grown(stores, size)
        for name, (decide, rows) in CHANGES.items():
            statements.clear()
            roster = await change(stores, roster, decide)
            sent.setdefault(name, []).append(len(statements))
            assert await rewritten(pool, roster) == rows
    assert all(small == large for small, large in sent.values()), sent


@pytest_twisted.ensureDeferred
async def test_those_who_come_and_go_together_have_no_members_read_again(stores, statements):
    """The second batch was made before the first was committed, with the roster of then."""
    roster = await grown(stores, LARGE)
    writing = Writing(stores.log)
    people = [f"new{number}" for number in range(5)]
    coming = [
        draft(roster.conversation, author=user, kind="member.joined", roster=roster, decide=decide)
        for user in people
        for decide in [partial(rosters.added, "alice", [user], LIMITS)]
    ]
    statements.clear()
    places = await gatherResults(writing.append(*coming))
    assert {*people} <= places[-1].roster.members.keys()
    going = [
        draft(roster.conversation, author=user, kind="member.left", roster=roster, decide=partial(rosters.left, user))
        for user in people
    ]
    places = await gatherResults(writing.append(*going))
    assert places[-1].roster.members.keys() == roster.members.keys()
    assert (changes.LOCK in statements, changes.ROSTERS in statements) == (True, False)


@pytest_twisted.ensureDeferred
async def test_news_of_who_comes_or_goes_goes_to_the_members_without_copying_them(stores):
    before = await grown(stores, SMALL)
    left = await audience_of(stores, before, partial(rosters.left, "user00007"))
    assert left.audience is before.members
    came = await audience_of(stores, left.roster, partial(rosters.added, "alice", ["new"], LIMITS))
    assert came.audience is came.roster.members


async def audience_of(stores, roster, decide):
    """What a change of alice's was answered with."""
    [place] = await stores.log.change([draft(roster.conversation, kind="group.changed", roster=roster, decide=decide)])
    return place


@pytest_twisted.ensureDeferred
async def test_a_message_and_a_resumption_look_at_no_other_members(pool, stores, statements):
    for size in (SMALL, LARGE):
        roster = await grown(stores, size)
        statements.clear()
        [place] = await stores.log.append([draft(roster.conversation, roster=roster)])
        assert (place.seq > 0, len(statements)) == (True, 1)
        assert await rewritten(pool, roster) == 0
        statements.clear()
        positions = await stores.conversations.positions("user00007", "phone")
        assert roster.conversation in [position.conversation for position in positions]
        assert len(statements) == 1


@pytest_twisted.ensureDeferred
async def test_a_page_of_members_reads_what_it_shows_wherever_it_stands(pool, stores):
    roster = await grown(stores, LARGE)
    for start in range(0, 5000, BATCH):
        gone = [f"user{number:05}" for number in range(start, start + BATCH)]
        leaving = lambda one, seq, gone=gone: rosters.changed(  # noqa: E731
            one, {user: rosters.gone(one.members[user], seq) for user in gone}
        )
        roster = await change(stores, roster, leaving)
    # As the server does by itself, at a time of its own.
    await pool.query("ANALYZE chatd.members")
    for after in ("", "user04999", "user09000"):
        params = {"conversation": roster.conversation, "standing": "member", "after": after}
        params |= {"now": "2026-01-01", "limit": 101}
        [[[explained]]] = await pool.query(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {group_store.PEOPLE}", params)
        scans = [node for node in nodes(explained["Plan"]) if node.get("Relation Name") == "members"]
        read = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans)
        assert read == 101


def nodes(node):
    return [node, *(found for child in node.get("Plans", ()) for found in nodes(child))]
