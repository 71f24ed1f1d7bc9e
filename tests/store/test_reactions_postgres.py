"""What only PostgreSQL's form of reactions has: what they cost."""

from functools import partial

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from chatd.records.logs import Revision
from chatd.records.reactions import Reaction
from chatd.store import tallies
from chatd.store.reacted import SAMPLES
from tests.kit.stores import draft, migrated, new_id, open_one, postgres_stores, say

MANY = 2000


@pytest.fixture(scope="module")
def dsn(cluster) -> str:
    """A database for all of these: they use conversations of their own."""
    return cluster.create_database()


@pytest.fixture
def pool(start_pool):
    return pytest_twisted.blockon(Deferred.fromCoroutine(migrated(start_pool(size=2))))


@pytest.fixture
def stores(pool):
    return postgres_stores(pool, lambda error: None)


def add(conversation, author, mark):
    """A reaction to the first message."""
    return draft(
        conversation,
        author=author,
        kind="reaction.added",
        revision=Revision(target=1, revise=lambda state, seq: state),
        effects=(Reaction(target=1, mark=mark, added=True, check=lambda own, all: None),),
    )


@pytest_twisted.ensureDeferred
async def test_a_reaction_writes_no_new_version_of_its_message(stores, sql):
    conversation = await open_one(stores)
    await say(stores, conversation, "a")
    version = partial(sql, "SELECT ctid, xmin FROM chatd.messages WHERE conversation_id = %s", conversation)
    before = version()
    await stores.log.change([add(conversation, "bob", b"m")])
    assert version() == before


@pytest_twisted.ensureDeferred
async def test_counts_cost_the_same_however_many_react(stores, pool):
    conversation = await open_one(stores)
    await say(stores, conversation, "a")
    await stores.log.change([add(conversation, f"user-{n}", b"m") for n in range(MANY)])
    parameters = {"conversation": conversation, "reader": "user-1", "seqs": "{1}"}
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {tallies.TALLIES}"
    [[[explained]]] = await pool.query(explain, parameters)
    assert rows_read(explained["Plan"]) <= 3 * SAMPLES + 3
    [tally] = await stores.reactions.tallies(conversation, "user-1", [1])
    assert (tally.count, tally.mine, len(tally.samples)) == (MANY, True, SAMPLES)
    assert await stores.reactions.tallies(new_id(), "user-1", [1]) == []


def rows_read(node):
    """How many rows the scans of tables gave."""
    own = node["Actual Rows"] * node["Actual Loops"] if "Relation Name" in node else 0
    return own + sum(rows_read(child) for child in node.get("Plans", ()))
