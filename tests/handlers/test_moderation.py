"""Bans, and members who may not speak for a while."""

from datetime import timedelta

import pytest

from chatd.errors import Forbidden, Invalid, NotFound, Unchanged
from chatd.handlers.group_events import MemberBanned, MemberMuted, MemberUnbanned, MemberUnmuted
from chatd.handlers.group_notices import ConversationLeft
from tests.kit.groups import act, found, promoted, roles, texts
from tests.kit.world import NOON, Asker, Chat


def at(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


def banned(who: Asker, group: str) -> list[tuple[str, str | None]]:
    return [(one.user, one.by) for one in who.ask("ban.list", conversation=group).banned]


def test_who_is_banned_is_out_and_stays_out(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", rules={"joining": "open"})
    alice.send("a", conversation=group)
    listener = chat.connect("bob")
    act(alice, "member.ban", group, user="bob")
    assert [(event.by, event.user) for event in listener.of(MemberBanned)] == [("alice", "bob")]
    assert [(event.group, event.reason) for event in listener.of(ConversationLeft)] == [(group, "banned")]
    alice.send("b", conversation=group)
    assert texts(bob, group) == ["a"]
    for name in ("message.send", "join.request", "invitation.accept"):
        with pytest.raises(NotFound):
            act(bob, name, group, **({"text": "x"} if name == "message.send" else {}))
    with pytest.raises(Forbidden, match="lift the ban"):
        act(alice, "invitation.send", group, user="bob")
    assert banned(alice, group) == [("bob", "alice")]
    act(alice, "member.unban", group, user="bob")
    assert texts(bob, group) == ["a"]
    assert act(bob, "join.request", group).joined


def test_strangers_and_those_who_were_invited_are_banned_as_well(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob")
    act(alice, "invitation.send", group, user="carol")
    listener = chat.connect("eve")
    for user in ("eve", "carol"):
        act(alice, "member.ban", group, user=user)
    assert listener.got == []
    assert chat.http("carol").ask("invitation.list").invitations == []
    assert banned(alice, group) == [("carol", "alice"), ("eve", "alice")]
    with pytest.raises(Unchanged, match="banned already"):
        act(alice, "member.ban", group, user="eve")
    with pytest.raises(Unchanged, match="not banned"):
        act(alice, "member.unban", group, user="bob")
    everybody = chat.connect("bob")
    act(alice, "member.unban", group, user="eve")
    assert [event.user for event in everybody.of(MemberUnbanned)] == ["eve"]


def test_bans_are_listed_for_those_who_may_ban(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    for user in "dce":
        act(alice, "member.ban", group, user=user)
    with pytest.raises(Forbidden):
        banned(bob, group)
    with pytest.raises(NotFound):
        banned(chat.http("eve"), group)
    promoted(alice, group, "bob")
    page = bob.ask("ban.list", conversation=group, limit=2)
    assert ([one.user for one in page.banned], page.next) == (["c", "d"], "d")
    page = bob.ask("ban.list", conversation=group, limit=2, after=page.next)
    assert ([one.user for one in page.banned], page.next) == (["e"], None)


def test_who_is_muted_says_nothing_until_then(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    said = bob.send("a", conversation=group)
    listener = chat.connect("bob")
    act(alice, "member.mute", group, user="bob", until=at(5))
    assert [(event.by, event.user, event.until) for event in listener.of(MemberMuted)] == [
        ("alice", "bob", NOON + timedelta(minutes=5))
    ]
    for name, fields in (("message.send", {"text": "x"}), ("message.edit", {"text": "x", "seq": said.seq})):
        with pytest.raises(Forbidden, match="muted here until"):
            act(bob, name, group, **fields)
    assert bob.ask("group.get", conversation=group).muted_until == NOON + timedelta(minutes=5)
    act(bob, "message.delete", group, seq=said.seq)
    chat.now = NOON + timedelta(minutes=5)
    bob.send("b", conversation=group)


def test_a_mute_is_lifted(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    act(alice, "member.mute", group, user="bob", until=at(5))
    with pytest.raises(Unchanged):
        act(alice, "member.mute", group, user="bob", until=at(5))
    listener = chat.connect("bob")
    act(alice, "member.unmute", group, user="bob")
    assert [event.user for event in listener.of(MemberUnmuted)] == ["bob"]
    bob.send("b", conversation=group)
    with pytest.raises(Unchanged, match="not muted"):
        act(alice, "member.unmute", group, user="bob")
    with pytest.raises(Invalid, match="in the past"):
        act(alice, "member.mute", group, user="bob", until=at(0))


def test_a_mute_outlasts_leaving_and_coming_back(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", rules={"joining": "open"})
    act(alice, "member.mute", group, user="bob", until=at(5))
    act(bob, "member.leave", group)
    act(bob, "join.request", group)
    with pytest.raises(Forbidden, match="muted"):
        bob.send("x", conversation=group)


def test_muted_admins_announce_nothing(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    promoted(alice, group, "bob")
    act(alice, "member.mute", group, user="bob", until=at(5))
    with pytest.raises(Forbidden, match="muted"):
        act(bob, "announcement.post", group, text="x")
    assert roles(alice, group)["bob"] == "admin"


def test_where_only_admins_post_members_do_not(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", rules={"posting": "admin"})
    with pytest.raises(Forbidden, match="takes the role admin to send messages"):
        bob.send("x", conversation=group)
    alice.send("news", conversation=group)
    promoted(alice, group, "bob")
    said = bob.send("more", conversation=group)
    act(alice, "member.role", group, user="bob", role="member")
    with pytest.raises(Forbidden):
        act(bob, "message.edit", group, seq=said.seq, text="x")
    assert texts(bob, group) == ["news", "more"]
