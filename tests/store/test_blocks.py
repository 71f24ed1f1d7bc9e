"""A block and what is written at the same moment, on two workers of one PostgreSQL: there is one order (fault 60)."""

from contextlib import closing

import psycopg2
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from chatd.errors import Forbidden
from chatd.records.logs import Cursor
from chatd.records.people import Tie
from chatd.state.ids import direct, event_queue
from tests.kit.fellow_workers import SharedBus, Worker
from tests.kit.stores import migrated, new_client_id, new_user, postgres_stores
from tests.kit.until import until

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def two_workers(start_pool, failed):
    bus, workers = SharedBus(), []
    for _ in range(2):
        stores = postgres_stores(await migrated(start_pool(size=3)), failed.append)
        workers.append((Worker(stores, bus, reactor, failed), stores))
    return workers


async def settled(deferreds):
    return [
        outcome if success else outcome.value for success, outcome in await DeferredList(deferreds, consumeErrors=True)
    ]


class Stream:
    """Somebody who sends one message after the other until they may not; ``seqs`` are where those stand."""

    def __init__(self, who, other):
        self.who, self.other, self.seqs, self.last_began = who, other, [], 0.0

    async def run(self):
        for _ in range(10_000):
            self.last_began = reactor.seconds()
            try:
                sent = await self.who.ask("message.send", client_id=new_client_id(), to=self.other, text="x")
            except Forbidden:
                return
            self.seqs.append(sent.seq)
            self.last_acknowledged_began = self.last_began
        raise AssertionError("nothing is refused")


@pytest_twisted.ensureDeferred
async def test_what_is_acknowledged_stands_before_the_block_and_nothing_after_it(start_pool):
    """Promise 9."""
    failed = []
    (one, kept), (other, _) = await two_workers(start_pool, failed)
    for round in range(10):
        alice, bob = one.person(new_user("alice")), new_user("bob")
        conversation = direct(alice.user, bob)
        await alice.ask("message.send", client_id="hi", to=bob, text="hi")
        streams = [Stream(worker.person(bob), alice.user) for worker in (one, other)]
        running = [Deferred.fromCoroutine(stream.run()) for stream in streams]
        await until(lambda streams=streams, round=round: all(len(stream.seqs) > round for stream in streams))
        await alice.ask("user.block", client_id="block", user=bob)
        blocked = reactor.seconds()
        await DeferredList(running)
        acknowledged = sorted(seq for stream in streams for seq in stream.seqs)
        # Acknowledged is delivered: both may read it, and there is nothing else.
        for reader in (alice.user, bob):
            log = await kept.log.entries(reader, [Cursor(conversation=conversation, seq=0)], 10_000)
            assert [entry.seq for entry in log] == [1, *acknowledged] == list(range(1, len(log) + 1))
        assert all(stream.last_acknowledged_began <= blocked for stream in streams)
        # Neither can write any more, and an old reply is still given again.
        for who in (alice, other.person(bob)):
            [outcome] = await settled([who.ask("message.send", client_id="new", conversation=conversation, text="x")])
            assert isinstance(outcome, Forbidden)
        assert (await alice.ask("message.send", client_id="hi", to=bob, text="hi")).seq == 1
    assert failed == []


@pytest_twisted.ensureDeferred
async def test_a_block_and_the_opening_of_a_conversation_have_one_order_too(start_pool):
    failed = []
    (one, kept), (other, _) = await two_workers(start_pool, failed)
    for _ in range(25):
        alice, bob = one.person(new_user("alice")), other.person(new_user("bob"))
        sent, blocked = await settled(
            [
                bob.ask("message.send", client_id="1", to=alice.user, text="hi"),
                alice.ask("user.block", client_id="1", user=bob.user),
            ]
        )
        assert not isinstance(blocked, Exception)
        roster = await kept.conversations.roster(direct(alice.user, bob.user))
        queue = Cursor(conversation=event_queue(alice.user), seq=0)
        told = [entry.kind for entry in await kept.log.entries(alice.user, [queue], 10)]
        if isinstance(sent, Exception):
            assert isinstance(sent, Forbidden)
        # Whoever is told of the conversation was told before the block.
        assert told == (["conversation.created", "block.added"] if roster.opened else ["block.added"])
        assert roster.opened or isinstance(sent, Forbidden)
    assert failed == []


@pytest_twisted.ensureDeferred
async def test_an_opening_that_waited_for_a_block_to_commit_opens_nothing(start_pool, dsn, sql):
    """Of the block it sees no more than the row that it waited for: the rest is later than its snapshot."""
    failed = []
    [(one, kept), _] = await two_workers(start_pool, failed)
    alice, bob = new_user("alice"), one.person(new_user("bob"))
    place = {"conversation": direct(alice, bob.user), "alice": alice, "bob": bob.user}
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO chatd.conversations (conversation_id, kind, opened, blocked, access)
            VALUES (%(conversation)s, 'direct', false, true, 1);
            INSERT INTO chatd.members (conversation_id, user_id, blocking)
            VALUES (%(conversation)s, %(alice)s, true), (%(conversation)s, %(bob)s, false)
            """,
            place,
        )
        sending = bob.ask("message.send", client_id="1", to=alice, text="hi")
        await until(lambda: sql(WAITING) == [(1,)])
        connection.commit()
    [outcome] = await settled([sending])
    assert isinstance(outcome, Forbidden)
    assert not (await kept.conversations.roster(place["conversation"])).opened
    assert await kept.conversations.get(event_queue(alice)) is None
    assert failed == []


@pytest_twisted.ensureDeferred
async def test_a_block_is_noticed_by_every_worker_at_once(start_pool):
    failed = []
    (one, _), (other, _) = await two_workers(start_pool, failed)
    alice, bob = one.person(new_user("alice")), new_user("bob")
    for worker in (one, other):
        assert await worker.relations.apart(bob) == frozenset()
    await alice.ask("user.block", client_id="1", user=bob)
    for worker in (one, other):
        assert await worker.relations.apart(bob) == {alice.user}
        assert await worker.relations.apart(alice.user) == {bob}
    await alice.ask("user.unblock", client_id="2", user=bob)
    for worker in (one, other):
        assert await worker.relations.apart(bob) == frozenset()


@pytest_twisted.ensureDeferred
async def test_whoever_follows_and_blocks_each_other_at_once_ends_up_apart(start_pool):
    failed = []
    (one, kept), (other, _) = await two_workers(start_pool, failed)
    for _ in range(10):
        alice, bob = one.person(new_user("alice")), other.person(new_user("bob"))
        outcomes = await settled(
            [
                alice.ask("user.follow", client_id="1", user=bob.user),
                bob.ask("user.follow", client_id="1", user=alice.user),
                bob.ask("user.block", client_id="2", user=alice.user),
                alice.ask("user.block", client_id="2", user=bob.user),
                alice.ask("message.send", client_id="3", to=bob.user, text="hi"),
            ]
        )
        assert not any(isinstance(outcome, Exception) for outcome in outcomes[2:4])
        assert await kept.relations.tie(alice.user, bob.user) == Tie(blocks=True, blocked=True)
        roster = await kept.conversations.roster(direct(alice.user, bob.user))
        assert [one.blocking for one in roster.members.values()] == [True, True]
    assert failed == []
