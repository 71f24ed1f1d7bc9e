"""Who comes and goes, who may stay an owner, and what everybody sees of the group by then."""

from typing import Any

import pytest

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers.group_events import MemberAdded, MemberLeft, MemberRemoved, MemberRoleChanged
from chatd.handlers.group_notices import ConversationJoined, ConversationLeft
from chatd.handlers.marks import ConversationDelivered
from chatd.handlers.messages import MessageCreated
from chatd.settings.model import Groups
from tests.kit.groups import Blocks, act, found, log, promoted, roles, texts
from tests.kit.world import Asker, Chat

# -- adding --


def test_who_is_added_gets_the_log_from_then_on(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice)
    alice.send("before", conversation=group)
    listener = chat.connect("bob")
    added = act(alice, "member.add", group, users=["bob", "carol", "bob"])
    [event] = listener.of(MemberAdded)
    assert (event.seq, event.by, event.users) == (added.seq, "alice", ["bob", "carol"])
    [notice] = listener.of(ConversationJoined)
    assert (notice.group, notice.title, notice.by) == (group, "Choir", "alice")
    alice.send("after", conversation=group)
    assert [event.text for event in listener.of(MessageCreated)] == ["after"]
    assert texts(bob, group) == ["after"]
    assert [event.seq for event in log(chat, "bob", group)] == [3, 4]
    assert roles(bob, group) == {"alice": "owner", "bob": "member", "carol": "member"}


def test_a_group_may_show_what_was_said_before(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, rules={"history": "all"})
    alice.send("before", conversation=group)
    act(alice, "member.add", group, users=["bob"])
    assert texts(bob, group) == ["before"]
    act(alice, "group.update", group, rules={"history": "joined"})
    assert texts(bob, group) == []


def test_who_is_a_member_already_stays_as_they_are(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob")
    promoted(alice, group, "bob")
    bob = chat.connect("bob")
    act(alice, "member.add", group, users=["bob", "carol"])
    assert roles(alice, group)["bob"] == "admin"
    assert bob.of(ConversationJoined) == []
    with pytest.raises(Unchanged, match="members already"):
        act(alice, "member.add", group, users=["bob", "carol"])


def test_all_or_none_are_added() -> None:
    relations = Blocks()
    chat = Chat(relations=relations, groups=Groups(max_members=3))
    alice = chat.http("alice")
    group = found(alice, "bob")
    first = act(alice, "member.add", group, users=["carol"], client_id="a")
    act(alice, "member.remove", group, user="carol")
    relations.pairs.add(frozenset(("alice", "carol")))
    assert act(alice, "member.add", group, users=["carol"], client_id="a") == first
    with pytest.raises(Conflict):
        act(alice, "member.add", group, users=["carol", "x"], client_id="a")
    with pytest.raises(Forbidden, match="may not contact"):
        act(alice, "member.add", group, users=["dave", "carol"])
    with pytest.raises(TooLarge, match="may have 3 members; this one has 2"):
        act(alice, "member.add", group, users=["dave", "eve"])
    act(alice, "member.ban", group, user="eve")
    with pytest.raises(Forbidden, match="banned"):
        act(alice, "member.add", group, users=["eve"])
    assert roles(alice, group) == {"alice": "owner", "bob": "member"}


@pytest.mark.parametrize(
    ("name", "whom"), [("member.add", {"users": ["carol"]}), ("invitation.send", {"user": "carol"})]
)
def test_who_came_by_another_worker_is_held_to_the_same(name: str, whom: dict[str, Any]) -> None:
    """This worker knows the group from before, with carol in it and without bob."""
    chat = Chat(relations=Blocks(("bob", "carol")))
    elsewhere = Chat(chat.database)
    alice, bob = elsewhere.http("alice"), chat.http("bob")
    group = found(alice, "carol")
    chat.http("alice").send("known", conversation=group)
    act(alice, "member.add", group, users=["bob"])
    act(alice, "member.remove", group, user="carol")
    act(alice, "member.role", group, user="bob", role="admin")
    with pytest.raises(Forbidden, match="may not contact"):
        act(bob, name, group, **whom)
    with pytest.raises(NotFound):
        act(chat.http("carol"), name, group, **(whom | {"user": "bob"} if "user" in whom else {"users": ["bob"]}))


# -- going --


def test_who_leaves_keeps_what_was_theirs_and_gets_nothing_more(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    first = alice.send("a", conversation=group)
    alice.send("b", conversation=group)
    act(alice, "message.edit", group, seq=first.seq, text="A")
    listener, other = chat.connect("bob"), chat.connect("alice")
    left = act(bob, "member.leave", group)
    assert [event.user for event in listener.of(MemberLeft)] == ["bob"]
    assert other.of(MemberLeft) == listener.of(MemberLeft)
    alice.send("c", conversation=group, reply_to=first.seq)
    act(alice, "message.edit", group, seq=first.seq, text="AAA")
    act(alice, "message.pin", group, seq=first.seq)
    assert [event.seq for event in log(chat, "bob", group)][-1] == left.seq
    assert texts(bob, group) == ["A", "b"]
    assert texts(alice, group) == ["AAA", "b", "c"]
    place = {"conversation": group, "seq": first.seq}
    assert [version.text for version in bob.ask("message.versions", **place).versions] == ["a", "A"]
    assert bob.ask("thread.get", **place).messages == []
    assert bob.ask("pin.list", conversation=group).messages == []
    assert not any(message.pinned for message in bob.ask("history.get", conversation=group).messages)
    assert listener.of(MessageCreated) == []
    with pytest.raises(NotFound):
        bob.send("x", conversation=group)
    for name in ("member.list", "group.get"):
        with pytest.raises(NotFound):
            bob.ask(name, conversation=group)


def test_who_comes_back_sees_the_log_from_then_on(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    alice.send("a", conversation=group)
    act(bob, "member.leave", group)
    alice.send("b", conversation=group)
    act(alice, "invitation.send", group, user="bob")
    assert texts(bob, group) == ["a"]
    act(bob, "invitation.accept", group)
    alice.send("c", conversation=group)
    assert texts(bob, group) == ["c"]


def test_removal_takes_effect_at_once_on_every_worker(chat: Chat, alice: Asker) -> None:
    other = Chat(chat.database)
    group = found(alice, "bob")
    bob = other.http("bob")
    bob.send("in", conversation=group)
    alice.send("in", conversation=group)
    assert bob.ask("member.list", conversation=group).members
    listener = chat.connect("bob")
    act(alice, "member.remove", group, user="bob")
    [event] = listener.of(MemberRemoved)
    assert (event.by, event.user) == ("alice", "bob")
    [notice] = listener.of(ConversationLeft)
    assert (notice.group, notice.by, notice.reason) == (group, "alice", "removed")
    alice.send("out", conversation=group)
    assert listener.of(MessageCreated) == []
    with pytest.raises(NotFound):
        bob.send("x", conversation=group)
    with pytest.raises(NotFound):
        bob.ask("member.list", conversation=group)
    assert texts(bob, group) == ["in", "in"]


def test_who_is_removed_is_told_nothing_in_passing_on_any_worker(chat: Chat, alice: Asker) -> None:
    other = Chat(chat.database)
    group = found(alice, "bob", "carol")
    other.http("carol").send("known", conversation=group)
    bob = other.connect("bob")
    other.http("carol").ask("ack", conversation=group, seq=1)
    assert len(bob.of(ConversationDelivered)) == 1
    signal = chat.bus.signal
    chat.bus.signal = lambda told: (signal(told), other.bus.signal(told))  # type: ignore[method-assign]
    act(alice, "member.remove", group, user="bob")
    other.http("carol").ask("ack", conversation=group, seq=2)
    assert len(bob.of(ConversationDelivered)) == 1


def test_a_signal_that_does_not_come_through_costs_only_the_signal(chat: Chat, alice: Asker, bob: Asker) -> None:
    """What is asked for is decided and read as things are, whatever a worker has been told."""
    other = Chat(chat.database)
    group = found(alice, "bob")
    for user in ("alice", "bob"):
        other.http(user).send("known", conversation=group)

    def fails(told: object) -> None:
        raise RuntimeError("no bus")

    chat.bus.signal = fails  # type: ignore[method-assign, assignment]
    act(alice, "member.remove", group, user="bob")
    act(alice, "member.add", group, users=["carol"])
    assert [str(error) for _, error in chat.failed] == ["no bus"] * 2
    with pytest.raises(NotFound):
        other.http("bob").ask("conversation.get", conversation=group)
    described = other.http("carol").ask("conversation.get", conversation=group)
    assert [member.user for member in described.members] == ["alice", "carol"]
    assert other.http("alice").ask("conversation.get", conversation=group).members == described.members


def test_one_leaves_by_leaving(alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    for name in ("member.remove", "member.ban"):
        with pytest.raises(Invalid, match=r"member\.leave"):
            act(alice, name, group, user="alice")
    with pytest.raises(NotFound, match="no such member"):
        act(alice, "member.remove", group, user="eve")
    first = act(bob, "member.leave", group, client_id="l")
    assert act(bob, "member.leave", group, client_id="l") == first
    with pytest.raises(NotFound):
        act(bob, "member.leave", group)


# -- roles --


def test_roles_are_given_and_taken_by_owners(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol")
    listener = chat.connect("carol")
    act(alice, "member.role", group, user="bob", role="admin")
    [event] = listener.of(MemberRoleChanged)
    assert (event.by, event.user, event.role) == ("alice", "bob", "admin")
    for who in (bob, chat.http("carol")):
        with pytest.raises(Forbidden, match="change roles"):
            act(who, "member.role", group, user="carol", role="admin")
    with pytest.raises(Unchanged):
        act(alice, "member.role", group, user="bob", role="admin")
    act(bob, "member.role", group, user="bob", role="member")
    with pytest.raises(Forbidden):
        act(bob, "member.role", group, user="bob", role="admin")
    assert roles(alice, group) == {"alice": "owner", "bob": "member", "carol": "member"}


@pytest.mark.parametrize(
    ("name", "fields"), [("member.leave", {}), ("member.role", {"user": "alice", "role": "admin"})]
)
def test_the_last_owner_stays_one(alice: Asker, bob: Asker, name: str, fields: dict[str, Any]) -> None:
    """Fault 61."""
    group = found(alice, "bob")
    with pytest.raises(Forbidden, match="A group has an owner"):
        act(alice, name, group, **fields)
    promoted(alice, group, "bob", "owner")
    act(alice, name, group, **fields)
    with pytest.raises(Forbidden, match="A group has an owner"):
        act(bob, "member.leave", group)
    assert roles(bob, group)["bob"] == "owner"


def test_there_are_only_so_many_admins() -> None:
    chat = Chat(groups=Groups(max_admins=2))
    alice = chat.http("alice")
    group = found(alice, "bob", "carol")
    promoted(alice, group, "bob")
    for name, fields in (("member.role", {"role": "admin"}), ("group.transfer", {})):
        with pytest.raises(TooLarge, match="2 admins and owners"):
            act(alice, name, group, user="carol", **fields)
    act(alice, "member.role", group, user="bob", role="owner")


# -- the list --


def test_pages_of_members_meet_whoever_comes_and_goes_meanwhile(alice: Asker) -> None:
    group = found(alice, *(f"user{n}" for n in range(7)))
    seen: list[str] = []
    after = None
    while True:
        page = alice.ask("member.list", conversation=group, limit=3, **({"after": after} if after else {}))
        seen += [one.user for one in page.members]
        if page.next is None:
            break
        after = page.next
        if after == "user1":
            act(alice, "member.remove", group, user="user0")
            act(alice, "member.add", group, users=["aaron", "zoe"])
    assert seen == ["alice", *(f"user{n}" for n in range(7)), "zoe"]


def test_members_are_listed_with_when_they_came(alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    first = {one.user: one.joined_at for one in alice.ask("member.list", conversation=group).members}
    promoted(alice, group, "bob")
    act(alice, "member.mute", group, user="bob", until="2030-01-01T12:00:00Z")
    members = alice.ask("member.list", conversation=group).members
    assert {one.user: one.joined_at for one in members} == first
    assert [one.muted_until and one.muted_until.year for one in members] == [None, 2030]
    act(bob, "member.leave", group)
    act(alice, "member.add", group, users=["bob"])
    again = alice.ask("member.list", conversation=group).members
    assert again[1].joined_at > first["bob"]
