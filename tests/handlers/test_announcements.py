"""Announcements and who has read them."""

import pytest

from chatd.errors import Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.announcements import AnnouncementConfirmed
from chatd.handlers.messages import MessageCreated
from tests.kit.groups import act, found, log, promoted, texts
from tests.kit.world import TEXT_CHARS, Asker, Chat


def read(who: Asker, group: str, seq: int) -> None:
    who.ask("announcement.read", conversation=group, seq=seq)


def test_an_announcement_is_a_message_that_says_so(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", rules={"posting": "admin"})
    listener = chat.connect("bob")
    sent = act(alice, "announcement.post", group, text="Friday", must_read=True, mentions=["bob"], client_id="a")
    act(alice, "announcement.post", group, text="Sunday")
    alice.send("x", conversation=group)
    marks = [(event.text, event.announcement, event.must_read) for event in listener.of(MessageCreated)]
    assert marks == [("Friday", True, True), ("Sunday", True, False), ("x", False, False)]
    history = bob.ask("history.get", conversation=group).messages
    assert [(one.text, one.announcement, one.must_read) for one in history] == marks
    assert [event.seq for event in log(chat, "bob", group)] == [1, 2, 3, 4]
    again = act(alice, "announcement.post", group, text="Friday", must_read=True, mentions=["bob"], client_id="a")
    assert again == sent
    act(alice, "message.edit", group, seq=sent.seq, text="Saturday")
    [first, *_] = bob.ask("history.get", conversation=group).messages
    assert (first.text, first.announcement, first.must_read) == ("Saturday", True, True)


def test_announcements_are_held_to_what_messages_are(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    with pytest.raises(TooLarge):
        act(alice, "announcement.post", group, text="x" * (TEXT_CHARS + 1))
    with pytest.raises(Invalid, match="not a member"):
        act(alice, "announcement.post", group, text="x", mentions=["eve"])
    alice.send("x", to="bob")


def test_who_has_read_it_is_known_to_admins(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol", "dave")
    seq = act(alice, "announcement.post", group, text="Friday", must_read=True).seq
    tablet = chat.connect("bob", "tablet")
    for _ in range(2):
        read(bob, group, seq)
    assert tablet.got == [AnnouncementConfirmed(conversation=group, seq=seq)]
    for user in ("dave", "alice"):
        read(chat.http(user), group, seq)
    page = alice.ask("announcement.readers", conversation=group, seq=seq, limit=2)
    assert ([one.user for one in page.readers], page.next, page.read, page.members) == (["alice", "bob"], "bob", 3, 4)
    assert (
        page.readers[1].read_at
        < alice.ask("announcement.readers", conversation=group, seq=seq, after="bob").readers[0].read_at
    )
    with pytest.raises(Forbidden):
        bob.ask("announcement.readers", conversation=group, seq=seq)
    promoted(alice, group, "bob")
    page = bob.ask("announcement.readers", conversation=group, seq=seq, after="bob")
    assert ([one.user for one in page.readers], page.next) == (["dave"], None)
    assert len(chat.entries(group)) == 3


def test_only_what_must_be_read_is_confirmed_and_by_those_who_see_it(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    plain = alice.send("x", conversation=group).seq
    seq = act(alice, "announcement.post", group, text="Friday", must_read=True).seq
    act(alice, "member.add", group, users=["carol"])
    for who, place in ((bob, plain), (bob, 99), (chat.http("carol"), seq), (chat.http("eve"), seq)):
        with pytest.raises(NotFound):
            read(who, group, place)
    for place in (plain, 99):
        with pytest.raises(NotFound):
            alice.ask("announcement.readers", conversation=group, seq=place)
    act(alice, "group.update", group, rules={"history": "all"})
    read(chat.http("carol"), group, seq)
    act(bob, "member.leave", group)
    with pytest.raises(NotFound):
        read(bob, group, seq)
    act(alice, "message.delete", group, seq=seq)
    with pytest.raises(NotFound):
        read(alice, group, seq)
    assert texts(bob, group) == ["x", ""]
