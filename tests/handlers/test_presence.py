"""Presence: who is shown to whom, when, and how often that is told."""

from datetime import timedelta

import pytest

from chatd.errors import Invalid, Overloaded, Unavailable
from chatd.handlers.presence import PersonPresence, PresenceNotice
from chatd.records.presence import PresenceChanged
from chatd.records.rosters import plain_roster
from chatd.settings.model import PresenceSettings
from chatd.state.relations import RelationsChanged, Strangers
from tests.kit.stores import new_id
from tests.kit.world import NOON, Chat, Connection

SOON = 4.0
"""More than a new connection needs until it is told of."""

OVER = 8.0
"""More than one that has gone needs."""

READ_AGAIN = 31.0


class Blocks(Strangers):
    """People some of whom block each other."""

    def __init__(self):
        self.pairs = set()

    async def apart(self, user):
        return frozenset(other for pair in self.pairs if user in pair for other in pair - {user})


@pytest.fixture
def blocks():
    return Blocks()


@pytest.fixture
def chat(blocks):
    chat = Chat(relations=blocks, presence=PresenceSettings(max_subscriptions=5))
    yield chat
    assert chat.failed == []


@pytest.fixture
def bob(chat):
    """Somebody who knows alice, and has subscribed to her."""
    acquaint(chat, "alice", "bob")
    bob = chat.connect("bob")
    bob.ask("presence.subscribe", users=["alice"])
    return bob


def acquaint(chat, *people):
    chat.database.begin(plain_roster(new_id(), "group", people))


def heard(connection):
    """What one was told since one was asked last."""
    told = [(event.user, event.status) for event in connection.of(PresenceNotice)]
    connection.got.clear()
    return told


def status(asker, user="alice"):
    [person] = asker.ask("presence.get", users=[user]).people
    return person.status


# -- coming and going --


def test_who_connects_is_online_and_who_goes_is_offline_with_the_time(chat, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    assert bob.got == [PresenceNotice(user="alice", status="online")]
    bob.got.clear()
    alice.hang_up()
    chat.pass_time(OVER)
    [event] = bob.got
    assert (event.user, event.status) == ("alice", "offline")
    assert timedelta(seconds=SOON) < event.last_seen - NOON <= timedelta(seconds=SOON + OVER)
    assert event.last_seen.microsecond == 0
    assert bob.ask("presence.get", users=["alice"]).people == [
        PersonPresence(user="alice", status="offline", last_seen=event.last_seen)
    ]


def test_over_http_one_asks_once(chat, bob):
    chat.connect("alice")
    chat.pass_time(SOON)
    assert chat.http("bob").ask("presence.get", users=["alice", "nobody", "alice"]).people == [
        PersonPresence(user="alice", status="online"),
        PersonPresence(user="nobody", status="offline"),
    ]


def test_a_connection_that_ends_at_once_is_nothing_to_anybody(chat, bob):
    chat.connect("alice").hang_up()
    chat.pass_time(OVER)
    assert (heard(bob), chat.gauges["present"]()) == ([], 1)


class CountedWrites:
    """Between a worker and the store of presence: how many people each statement was about."""

    def __init__(self, store):
        self._store = store
        self.written = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def write(self, worker, leases):
        self.written.append(len(leases))
        return await self._store.write(worker, leases)


def test_ten_thousand_who_come_and_go_at_once_are_written_in_a_few_statements_and_told_in_a_few_signals():
    chat = Chat(presence=PresenceSettings(), reach=CountedWrites)
    crowd = [f"user-{number}" for number in range(10_000)]
    acquaint(chat, "bob", *crowd[:100])
    bob = chat.connect("bob")
    bob.ask("presence.subscribe", users=crowd[:100])
    chat.pass_time(SOON)
    signals = []
    chat.exchange.listen(PresenceChanged, signals.append)
    for change, status in ((chat.connect, "online"), (Connection.hang_up, "offline")):
        chat.reach.written.clear()
        signals.clear()
        crowd = [change(one) or one for one in crowd]
        chat.pass_time(OVER)
        assert chat.reach.written == [2000] * 5
        assert len(signals) < 300, "a signal is about some forty people"
        assert sorted(heard(bob)) == sorted((f"user-{number}", status) for number in range(100))
    at_once = [chat.connect(f"user-{number}") for number in range(1000)]
    for one in at_once:
        one.hang_up()
    chat.reach.written.clear()
    chat.pass_time(OVER)
    assert (chat.reach.written, heard(bob), chat.failed) == ([], [], [])


def test_who_comes_back_in_time_was_never_away(chat, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    for _ in range(5):
        alice.hang_up()
        chat.pass_time(1.5)
        alice = chat.connect("alice")
        chat.pass_time(5)
    assert heard(bob) == [("alice", "online")]


def test_who_is_on_several_devices_is_what_the_most_present_says(chat, bob):
    phone, laptop = chat.connect("alice"), chat.connect("alice", "laptop")
    phone.ask("presence.set", status="away")
    laptop.ask("presence.set", status="away")
    chat.pass_time(SOON)
    phone.ask("presence.set", status="online")
    chat.pass_time(SOON)
    phone.ask("presence.set", status="invisible")
    chat.pass_time(SOON)
    laptop.ask("presence.set", status="invisible")
    chat.pass_time(SOON)
    assert heard(bob) == [("alice", "away"), ("alice", "online"), ("alice", "away"), ("alice", "offline")]


def test_what_is_said_while_nobody_looks_collapses_into_the_last(chat, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    for said in ["away", "online", "invisible", "away"] * 10:
        alice.ask("presence.set", status=said)
    chat.pass_time(SOON)
    assert heard(bob) == [("alice", "online"), ("alice", "away")]


def test_what_is_said_outweighs_a_connection_that_has_gone(chat, bob):
    phone, laptop = chat.connect("alice"), chat.connect("alice", "laptop")
    chat.pass_time(SOON)
    phone.hang_up()
    laptop.ask("presence.set", status="invisible")
    chat.pass_time(1.5)
    assert heard(bob) == [("alice", "online"), ("alice", "offline")]


def test_a_status_ends_with_its_connection(chat, bob):
    phone = chat.connect("alice")
    phone.ask("presence.set", status="away")
    chat.pass_time(SOON)
    phone.hang_up()
    phone.ask("presence.set", status="online")
    chat.pass_time(OVER)
    assert heard(bob) == [("alice", "away"), ("alice", "offline")]


# -- the invisible --


def test_the_invisible_look_offline_but_to_themselves(chat, bob):
    phone, laptop = chat.connect("alice"), chat.connect("alice", "laptop")
    laptop.ask("presence.subscribe", users=["alice"])
    phone.ask("presence.set", status="invisible")
    laptop.ask("presence.set", status="invisible")
    chat.pass_time(SOON)
    assert heard(laptop) == [("alice", "invisible")]
    assert (status(phone), status(bob)) == ("invisible", "offline")
    phone.hang_up()
    laptop.hang_up()
    chat.pass_time(OVER)
    assert heard(bob) == []
    assert bob.ask("presence.get", users=["alice"]).people[0].last_seen is None


def test_who_hides_was_last_seen_then_and_not_when_they_go(chat, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    alice.ask("presence.set", status="invisible")
    chat.pass_time(SOON)
    [hidden] = bob.ask("presence.get", users=["alice"]).people
    chat.pass_time(100)
    alice.hang_up()
    chat.pass_time(OVER)
    assert bob.ask("presence.get", users=["alice"]).people == [hidden]
    assert hidden.last_seen < NOON + timedelta(seconds=2 * SOON)
    assert heard(bob) == [("alice", "online"), ("alice", "offline")]


# -- who is shown to whom --


def test_strangers_and_nobody_look_alike(chat):
    mallory, alice = chat.connect("mallory"), chat.connect("alice")
    mallory.ask("presence.subscribe", users=["alice", "nobody"])
    chat.pass_time(SOON)
    alice.hang_up()
    chat.pass_time(OVER)
    people = mallory.ask("presence.subscribe", users=["alice", "nobody"]).people
    assert people == [PersonPresence(user=user, status="offline") for user in ("alice", "nobody")]
    assert people == mallory.ask("presence.get", users=["alice", "nobody"]).people
    assert heard(mallory) == []


def test_who_has_written_to_somebody_knows_them(chat):
    alice, carol = chat.connect("alice"), chat.connect("carol")
    carol.ask("presence.subscribe", users=["alice"])
    chat.pass_time(SOON)
    assert heard(carol) == []
    alice.send("hi", to="carol")
    assert status(carol) == "online"
    chat.pass_time(READ_AGAIN)
    assert heard(carol) == [("alice", "online")]


def test_who_shares_nothing_any_more_is_shown_nothing_any_more(chat, bob):
    chat.connect("alice")
    chat.pass_time(SOON)
    [group] = [log for log in chat.database.logs.values() if log.roster.kind == "group"]
    group.roster = plain_roster(group.conversation, "group", ["alice"])
    assert status(bob) == "offline"
    chat.pass_time(READ_AGAIN)
    assert heard(bob) == [("alice", "online"), ("alice", "offline")]


def test_a_block_hides_at_once_and_its_end_shows_again(chat, blocks, bob):
    alice = chat.connect("alice")
    alice.ask("presence.subscribe", users=["bob"])
    chat.pass_time(SOON)
    assert (heard(alice), heard(bob)) == ([("bob", "online")], [("alice", "online")])
    blocks.pairs.add(frozenset({"alice", "bob"}))
    chat.bus.signal(RelationsChanged(users=("alice", "bob")))
    assert (status(bob), status(alice, "bob")) == ("offline", "offline")
    chat.pass_time(1)
    assert (heard(alice), heard(bob)) == ([("bob", "offline")], [("alice", "offline")])
    alice.ask("presence.set", status="away")
    chat.pass_time(SOON)
    assert heard(bob) == []
    blocks.pairs.clear()
    chat.bus.signal(RelationsChanged(users=("alice", "bob")))
    chat.pass_time(1)
    assert (heard(alice), heard(bob)) == ([("bob", "online")], [("alice", "away")])


def test_a_block_whose_signal_was_lost_is_found(chat, blocks, bob):
    chat.connect("alice")
    chat.pass_time(SOON)
    blocks.pairs.add(frozenset({"alice", "bob"}))
    chat.pass_time(READ_AGAIN)
    assert heard(bob) == [("alice", "online"), ("alice", "offline")]


def test_nothing_is_shown_while_a_block_cannot_be_looked_up(chat, blocks, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    heard(bob)
    fail, whole = True, blocks.apart

    async def apart(user):
        if fail:
            raise Unavailable
        return await whole(user)

    blocks.apart = apart
    blocks.pairs.add(frozenset({"alice", "bob"}))
    chat.bus.signal(RelationsChanged(users=("alice", "bob")))
    alice.ask("presence.set", status="away")
    chat.pass_time(SOON)
    assert ("alice", "away") not in heard(bob)
    acquaint(chat, "bob", "carol")
    with pytest.raises(Unavailable):
        bob.ask("presence.subscribe", users=["carol"])
    assert chat.gauges["presence_subscriptions"]() == 1
    fail = False
    chat.pass_time(SOON)
    assert status(bob) == "offline"


# -- subscriptions --


def test_what_is_no_longer_subscribed_to_is_not_told(chat, bob):
    acquaint(chat, "bob", "carol")
    bob.ask("presence.subscribe", users=["carol"])
    assert chat.gauges["presence_subscriptions"]() == 2
    bob.ask("presence.unsubscribe", users=["alice", "nobody"])
    chat.connect("alice")
    chat.connect("carol")
    chat.pass_time(SOON)
    assert heard(bob) == [("carol", "online")]
    bob.hang_up()
    assert chat.gauges["presence_subscriptions"]() == 0
    bob.ask("presence.unsubscribe", users=["carol"])


def test_subscriptions_are_limited_and_may_be_repeated(chat, bob):
    bob.ask("presence.subscribe", users=["alice", "b", "c", "d", "e"])
    bob.ask("presence.subscribe", users=["e", "alice"])
    with pytest.raises(Invalid, match="at most 5 people"):
        bob.ask("presence.subscribe", users=["alice", "f"])
    bob.ask("presence.unsubscribe", users=["e"])
    bob.ask("presence.subscribe", users=["f"])
    with pytest.raises(Invalid, match="at most 5 people"):
        chat.connect("carol").ask("presence.subscribe", users=["a", "b", "c", "d", "e", "f"])


def test_a_subscription_is_a_connections(chat, bob):
    chat.connect("bob", "laptop")
    for name, fields in [("set", {"status": "away"}), ("subscribe", {"users": []}), ("unsubscribe", {"users": []})]:
        with pytest.raises(Invalid, match="send it over a WebSocket"):
            chat.http("alice").ask(f"presence.{name}", **fields)


def test_a_connection_that_ends_while_it_subscribes_leaves_nothing(chat, bob):
    carol = chat.connect("carol")
    carol.hang_up()
    carol.ask("presence.subscribe", users=["alice"])
    assert chat.gauges["presence_subscriptions"]() == 1


def test_who_does_not_read_is_told_the_latest_later(chat, bob):
    alice = chat.connect("alice")
    chat.pass_time(SOON)
    heard(bob)
    bob.outbox.pause()
    for said in ("away", "invisible", "away"):
        alice.ask("presence.set", status=said)
        chat.pass_time(SOON)
    bob.outbox.resume()
    assert heard(bob) == []
    chat.pass_time(1)
    assert heard(bob) == [("alice", "away")]


def test_before_its_first_sync_a_connection_is_told_nothing_and_then_the_latest(chat, bob):
    another = chat.connect("bob", "laptop", synced=False)
    another.ask("presence.subscribe", users=["alice"])
    chat.connect("alice")
    chat.pass_time(SOON)
    assert another.got == []
    another.ask("sync")
    chat.pass_time(1)
    assert heard(another) == [("alice", "online")]


# -- the database --


def test_what_could_not_be_written_is_written_later(chat, bob):
    write, faults = chat.presence.write, [Unavailable(), Overloaded()]

    async def faulty(worker, leases):
        if faults:
            raise faults.pop()
        return await write(worker, leases)

    chat.presence.write = faulty
    chat.connect("alice")
    chat.pass_time(SOON + 2)
    assert (faults, heard(bob)) == ([], [("alice", "online")])
