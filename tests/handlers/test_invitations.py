"""Invitations: they wait, lapse, are answered and taken back."""

from datetime import timedelta
from typing import Any

import pytest

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers.group_events import MemberJoined
from chatd.handlers.group_notices import InvitationDeclined, InvitationRevoked, InvitationSent
from chatd.settings.model import Groups
from tests.kit.groups import Blocks, act, found, log, promoted, roles, texts
from tests.kit.world import NOON, Asker, Chat, altered

WEEK = timedelta(days=7)


def own(who: Asker, **fields: Any) -> list[str]:
    return [one.title for one in who.ask("invitation.list", **fields).invitations]


def of_group(who: Asker, group: str, **fields: Any) -> list[tuple[str, str | None]]:
    return [(one.user, one.by) for one in who.ask("invitation.list", conversation=group, **fields).invitations]


def test_an_invitation_waits_in_the_queue_of_the_invited(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, picture="https://x/y.png")
    tablet, phone = chat.connect("alice", "tablet"), chat.connect("bob")
    sent = act(alice, "invitation.send", group, user="bob")
    [event] = phone.of(InvitationSent)
    assert (event.conversation, event.group, event.by, event.user) == (bob.queue, group, "alice", "bob")
    assert (event.title, event.picture, event.expires_at) == ("Choir", "https://x/y.png", NOON + WEEK)
    [mine] = tablet.of(InvitationSent)
    assert (mine.conversation, mine.seq, mine.group, mine.user) == (alice.queue, sent.seq, group, "bob")
    assert sent.conversation == alice.queue
    assert [type(event) for event in log(chat, "bob", bob.queue)] == [InvitationSent]
    assert log(chat, "bob", group) == []
    assert own(bob) == ["Choir"]
    assert of_group(alice, group) == [("bob", "alice")]
    assert roles(alice, group) == {"alice": "owner"}


def test_the_title_is_as_of_then_in_the_queue_and_as_of_now_in_the_list(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice)
    act(alice, "invitation.send", group, user="bob")
    act(alice, "group.update", group, title="Band")
    assert [event.title for event in log(chat, "bob", bob.queue)] == ["Choir"]
    assert own(bob) == ["Band"]


def test_who_accepts_is_a_member(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "carol")
    act(alice, "invitation.send", group, user="bob")
    alice.send("before", conversation=group)
    listeners = [chat.connect(user) for user in ("bob", "carol")]
    joined = act(bob, "invitation.accept", group, client_id="j")
    assert [[(e.user, e.seq) for e in one.of(MemberJoined)] for one in listeners] == [[("bob", joined.seq)]] * 2
    alice.send("after", conversation=group)
    assert texts(bob, group) == ["after"]
    assert own(bob) == []
    assert of_group(alice, group) == []
    assert act(bob, "invitation.accept", group, client_id="j") == joined
    with pytest.raises(NotFound):
        act(bob, "invitation.accept", group)


def test_who_declines_is_not_and_the_inviter_is_told(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice)
    act(alice, "invitation.send", group, user="bob")
    listener = chat.connect("alice")
    act(bob, "invitation.decline", group)
    assert [(event.group, event.user, event.by) for event in listener.of(InvitationDeclined)] == [(group, "bob", "bob")]
    for name in ("invitation.decline", "invitation.accept"):
        with pytest.raises(NotFound):
            act(bob, name, group)
    act(alice, "invitation.send", group, user="bob")
    act(bob, "invitation.accept", group)


def test_an_invitation_is_taken_back_by_whoever_sent_it_or_an_admin(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol", rules={"inviting": "member"})
    eve, carol = chat.connect("eve"), chat.http("carol")
    for revoker in (bob, alice):
        act(bob, "invitation.send", group, user="eve")
        with pytest.raises(Forbidden):
            act(carol, "invitation.revoke", group, user="eve")
        act(revoker, "invitation.revoke", group, user="eve")
        with pytest.raises(NotFound):
            act(eve, "invitation.accept", group)
    assert [(event.by, event.user, event.group) for event in eve.of(InvitationRevoked)] == [
        ("bob", "eve", group),
        ("alice", "eve", group),
    ]
    with pytest.raises(NotFound):
        act(alice, "invitation.revoke", group, user="eve")
    with pytest.raises(NotFound):
        act(eve, "invitation.revoke", group, user="eve")


def test_an_invitation_lapses(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice)
    act(alice, "invitation.send", group, user="bob")
    with pytest.raises(Unchanged, match="invited already"):
        act(alice, "invitation.send", group, user="bob")
    chat.now = NOON + WEEK
    for name in ("invitation.accept", "invitation.decline"):
        with pytest.raises(NotFound):
            act(bob, name, group)
    with pytest.raises(NotFound):
        bob.ask("group.get", conversation=group)
    assert own(bob) == []
    assert of_group(alice, group) == []
    act(alice, "invitation.send", group, user="bob")
    act(bob, "invitation.accept", group)


def test_how_long_it_stands_is_a_setting() -> None:
    chat = Chat(groups=Groups(invitation_seconds=60))
    alice, bob = chat.http("alice"), chat.http("bob")
    group = found(alice)
    act(alice, "invitation.send", group, user="bob")
    assert [one.expires_at for one in bob.ask("invitation.list").invitations] == [NOON + timedelta(minutes=1)]


def test_who_may_invite_is_a_rule_and_whom_another_matter() -> None:
    relations = Blocks()
    chat = Chat(relations=relations)
    alice, bob = chat.http("alice"), chat.http("bob")
    group = found(alice, "bob")
    with pytest.raises(Forbidden, match="takes the role admin"):
        act(bob, "invitation.send", group, user="eve")
    with pytest.raises(Forbidden):
        of_group(bob, group)
    with pytest.raises(NotFound):
        of_group(chat.http("eve"), group)
    first = act(alice, "invitation.send", group, user="eve", client_id="i")
    relations.pairs |= {frozenset(("alice", "eve")), frozenset(("alice", "carol"))}
    assert act(alice, "invitation.send", group, user="eve", client_id="i") == first
    with pytest.raises(Conflict):
        act(alice, "invitation.send", group, user="carol", client_id="i")
    with pytest.raises(Forbidden, match="may not contact"):
        act(alice, "invitation.send", group, user="carol")
    with pytest.raises(Unchanged, match="member already"):
        act(alice, "invitation.send", group, user="bob")


def test_a_repeat_gets_the_first_reply_though_its_time_and_the_title_are_others(chat: Chat, alice: Asker) -> None:
    group = found(alice)
    first = act(alice, "invitation.send", group, user="bob", client_id="i")
    act(alice, "group.update", group, title="Band")
    chat.now = NOON + timedelta(hours=1)
    assert act(alice, "invitation.send", group, user="bob", client_id="i") == first
    assert len(log(chat, "bob", chat.http("bob").queue)) == 1


def test_a_full_group_takes_nobody_in() -> None:
    chat = Chat(groups=Groups(max_members=2))
    alice = chat.http("alice")
    group = found(alice)
    for user in ("bob", "carol"):
        act(alice, "invitation.send", group, user=user)
    with pytest.raises(TooLarge, match="2 people are invited"):
        act(alice, "invitation.send", group, user="dave")
    act(chat.http("bob"), "invitation.accept", group)
    with pytest.raises(TooLarge, match="may have 2 members"):
        act(chat.http("carol"), "invitation.accept", group)
    act(alice, "invitation.send", group, user="dave")
    chat.now = NOON + WEEK
    # What has lapsed makes room.
    act(alice, "invitation.send", group, user="erin")
    assert of_group(alice, group) == [("erin", "alice")]


def test_invitations_are_listed_page_by_page(chat: Chat, alice: Asker, bob: Asker) -> None:
    groups = sorted(found(alice, title=f"{n}") for n in range(5))
    for group in groups:
        act(alice, "invitation.send", group, user="bob")
    seen: list[str] = []
    page = bob.ask("invitation.list", limit=2)
    while page.next is not None:
        seen += [one.conversation for one in page.invitations]
        page = bob.ask("invitation.list", limit=2, after=page.next)
    assert seen + [one.conversation for one in page.invitations] == groups
    with pytest.raises(Invalid, match="`after`"):
        bob.ask("invitation.list", after="x")
    for user in ("carol", "dave"):
        act(alice, "invitation.send", groups[0], user=user)
    page = alice.ask("invitation.list", conversation=groups[0], limit=2)
    assert ([one.user for one in page.invitations], page.next) == (["bob", "carol"], "carol")
    assert of_group(alice, groups[0], after="carol") == [("dave", "alice")]


def test_an_invitation_that_cannot_be_opened_says_so(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice)
    act(alice, "invitation.send", group, user="bob")
    chat.entries(bob.queue)[0] = altered(chat.entries(bob.queue)[0])
    [event] = log(chat, "bob", bob.queue)
    assert (event.by, event.unreadable, event.group) == ("alice", True, None)
    act(bob, "invitation.accept", group)


def test_whom_a_group_does_not_know_may_decline_nothing(alice: Asker, bob: Asker) -> None:
    group = found(alice)
    promoted(alice, found(alice, "bob"), "bob")
    for name in ("invitation.accept", "invitation.decline", "join.cancel"):
        with pytest.raises(NotFound):
            act(bob, name, group)
