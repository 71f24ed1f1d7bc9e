"""Founding groups, what they show of themselves, handing them over, deleting them."""

from typing import Any

import msgspec
import pytest

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, Overloaded, TooLarge, Unchanged
from chatd.handlers.catalogue import KINDS
from chatd.handlers.group_events import GroupCreated, GroupDeleted, GroupRules, GroupTransferred, GroupUpdated
from chatd.handlers.group_notices import ConversationJoined
from chatd.handlers.group_profiles import GroupProfiles
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import MessageCreated
from chatd.security.keyring import Keyring
from chatd.settings.model import Groups
from chatd.state.authors import Authors
from chatd.state.ids import direct
from chatd.store.memory.keys import MemoryKeys
from tests.kit.at_once import at_once
from tests.kit.groups import Blocks, act, found, log, promoted, roles, texts
from tests.kit.stores import new_id
from tests.kit.world import MASTERS, Asker, Chat, altered

PICTURE = "https://cdn.example.com/choir.png"


def shown(who: Asker, group: str) -> tuple[Any, ...]:
    info = who.ask("group.get", conversation=group)
    return info.title, info.description, info.picture, info.rules


# -- founding --


def test_a_group_begins_with_its_members_who_are_told_at_once(chat: Chat, alice: Asker) -> None:
    bob, other = chat.connect("bob"), chat.connect("alice", "tablet")
    group = found(alice, "bob", "bob", "carol", "alice", description="We sing", picture=PICTURE)
    assert roles(alice, group) == {"alice": "owner", "bob": "member", "carol": "member"}
    [event] = bob.of(GroupCreated)
    assert (event.conversation, event.seq, event.by, event.title, event.description, event.picture) == (
        *(group, 1, "alice", "Choir", "We sing", PICTURE),
    )
    assert event.members == ["alice", "bob", "carol"]
    assert other.of(GroupCreated) == [event]
    [notice] = bob.of(ConversationJoined)
    assert (notice.conversation, notice.group, notice.by, notice.title, notice.picture) == (
        *(bob.queue, group, "alice", "Choir", PICTURE),
    )
    assert other.of(ConversationJoined) == []


def test_who_was_away_finds_the_group_in_the_log_and_the_notice_in_the_queue(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob")
    assert [type(event) for event in log(chat, "bob", group)] == [GroupCreated]
    assert [type(event) for event in log(chat, "bob", chat.http("bob").queue)] == [ConversationJoined]


def test_a_repeat_founds_no_second_group(chat: Chat, alice: Asker) -> None:
    ask = {"client_id": "g", "title": "Choir", "members": ["bob"]}
    first = alice.ask("group.create", **ask)
    assert alice.ask("group.create", **ask) == first
    assert chat.http("alice", "tablet").ask("group.create", **ask) == first
    with pytest.raises(Conflict):
        alice.ask("group.create", **(ask | {"title": "Band"}))
    assert found(alice, "bob") != first.conversation
    assert found(chat.http("bob"), client_id="g") != first.conversation


def test_nobody_is_put_into_a_group_by_whom_they_may_not_be_written_to() -> None:
    relations = Blocks()
    chat = Chat(relations=relations)
    alice = chat.http("alice")
    ask = {"client_id": "g", "title": "Choir", "members": ["bob"]}
    first = alice.ask("group.create", **ask)
    relations.pairs.add(frozenset(("alice", "bob")))
    with pytest.raises(Forbidden, match="may not contact"):
        found(alice, "carol", "bob")
    assert alice.ask("group.create", **ask) == first
    with pytest.raises(Conflict):
        alice.ask("group.create", **(ask | {"title": "Band"}))


def test_sizes_are_limited() -> None:
    chat = Chat(groups=Groups(max_members=3, max_title_chars=5, max_description_chars=4))
    alice = chat.http("alice")
    group = found(alice, "bob", "carol", title="xxxxx", description="xxxx")
    for refused in ({"title": "xxxxxx"}, {"title": "x", "description": "xxxxx"}, {"members": ["b", "c", "d"]}):
        with pytest.raises(TooLarge, match=r"limit is|may have 3"):
            alice.ask("group.create", client_id="x", **{"title": "x", **refused})
    with pytest.raises(TooLarge, match="`description` has 5"):
        act(alice, "group.update", group, description="xxxxx")


@pytest.mark.parametrize("picture", ["x", "ftp://x", "javascript:alert(1)", "https://a b", "https://a\n", "https://"])
def test_a_picture_is_an_absolute_url(alice: Asker, picture: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="picture"):
        found(alice, picture=picture)


# -- what it shows --


def test_an_update_changes_what_is_given_and_tells_everything(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob", description="We sing", picture=PICTURE)
    bob = chat.connect("bob")
    changed = act(alice, "group.update", group, title="Band", picture="")
    [event] = bob.of(GroupUpdated)
    assert (event.seq, event.by, event.title, event.description, event.picture) == (2, "alice", "Band", "We sing", "")
    assert (changed.conversation, changed.seq) == (group, 2)
    assert shown(bob, group)[:3] == ("Band", "We sing", "")
    act(alice, "group.update", group, description="", rules={"posting": "admin"})
    rules = GroupRules(posting="admin")
    assert shown(bob, group) == ("Band", "", "", rules)
    assert [(e.title, e.rules) for e in bob.of(GroupUpdated)] == [("Band", GroupRules()), ("Band", rules)]


def test_admins_change_what_is_shown_and_owners_the_rules_unless_the_group_says_otherwise(
    chat: Chat, alice: Asker, bob: Asker
) -> None:
    group = found(alice, "bob", "carol")
    carol = chat.http("carol")
    promoted(alice, group, "bob")
    act(bob, "group.update", group, title="Band")
    for who, change in (
        (bob, {"rules": {"posting": "admin"}}),
        (bob, {"title": "x", "rules": {"posting": "admin"}}),
        (carol, {"title": "x"}),
    ):
        with pytest.raises(Forbidden, match="takes the role"):
            act(who, "group.update", group, **change)
    act(alice, "group.update", group, rules={"editing": "member"})
    act(carol, "group.update", group, title="Trio")
    act(alice, "group.update", group, rules={"editing": "owner"})
    with pytest.raises(Forbidden):
        act(bob, "group.update", group, title="x")
    assert shown(alice, group)[0] == "Trio"


def test_an_update_says_what_it_changes(alice: Asker) -> None:
    group = found(alice)
    for nothing in ({}, {"rules": {}}):
        with pytest.raises(Invalid, match="Give what is to be changed"):
            act(alice, "group.update", group, **nothing)
    for same in ({"title": "Choir"}, {"rules": {"joining": "invitation"}}):
        with pytest.raises(Unchanged):
            act(alice, "group.update", group, **same)


def test_a_repeated_update_gets_its_first_reply_whatever_was_changed_since(alice: Asker) -> None:
    group = found(alice)
    first = act(alice, "group.update", group, client_id="u", title="Band")
    act(alice, "group.update", group, title="Trio", description="Three")
    assert act(alice, "group.update", group, client_id="u", title="Band") == first
    assert shown(alice, group)[:2] == ("Trio", "Three")
    for other in ({"title": "Duo"}, {"title": "Band", "description": "x"}):
        with pytest.raises(Conflict):
            act(alice, "group.update", group, client_id="u", **other)


def test_two_updates_at_once_lose_nothing(chat: Chat, alice: Asker) -> None:
    """The second worker knows the group as it was before: its update is put together anew."""
    other = Chat(chat.database)
    group = found(alice, "bob")
    promoted(alice, group, "bob")
    bob = other.http("bob")
    assert shown(bob, group)[0] == "Choir"
    bob.send("known here", conversation=group)
    act(alice, "group.update", group, title="Band")
    act(bob, "group.update", group, description="We play")
    assert shown(alice, group)[:2] == ("Band", "We play")


def test_who_is_overtaken_again_and_again_is_told_to_try_later(chat: Chat, alice: Asker) -> None:
    other = Chat(chat.database)
    group = found(alice, "bob")
    promoted(alice, group, "bob")
    numbers = iter(range(100))
    change = chat.log.change

    async def overtaken(drafts: Any) -> Any:
        act(other.http("bob"), "group.update", group, title=f"No {next(numbers)}")
        return await change(drafts)

    chat.log.change = overtaken  # type: ignore[method-assign]
    with pytest.raises(Overloaded):
        act(alice, "group.update", group, description="x")
    assert next(numbers) == 3


def test_what_cannot_be_opened_says_so(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob")
    chat.entries(group)[0] = altered(chat.entries(group)[0])
    info = alice.ask("group.get", conversation=group)
    assert (info.title, info.unreadable, info.member_count) == ("", True, 2)
    [event] = log(chat, "bob", group)
    assert (event.by, event.unreadable, event.title) == ("alice", True, "")
    act(alice, "group.update", group, title="Choir again")
    assert shown(alice, group)[0] == "Choir again"


def test_profiles_of_many_groups_are_read_at_once(chat: Chat, alice: Asker) -> None:
    groups = [found(alice, title=f"Choir {n}") for n in range(3)]
    asked = []

    class Counting(type(chat.log)):  # type: ignore[misc]
        async def at(self, places: Any) -> Any:
            asked.append(len(places))
            return await super().at(places)

    reader = Reader(KINDS, Authors(MemoryKeys(chat.database), Keyring(MASTERS)), lambda entry, reason: None)
    profiles = GroupProfiles(Counting(chat.database.now, database=chat.database), reader)
    found_profiles = at_once(profiles.of((group, 1) for group in [*groups, new_id()]))
    assert [profile.title for profile in found_profiles.values()] == ["Choir 0", "Choir 1", "Choir 2", ""]
    assert [profile.unreadable for profile in found_profiles.values()] == [False, False, False, True]
    assert asked == [4]


# -- who sees it --


def test_a_group_shows_itself_to_members_and_to_those_who_may_come(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    eve = chat.http("eve")
    with pytest.raises(NotFound):
        shown(eve, group)
    act(alice, "invitation.send", group, user="eve")
    info = eve.ask("group.get", conversation=group)
    assert (info.title, info.role, info.member_count) == ("Choir", None, 2)
    act(alice, "group.update", group, rules={"joining": "request"})
    assert shown(chat.http("carol"), group)[0] == "Choir"
    act(alice, "member.ban", group, user="eve")
    with pytest.raises(NotFound):
        shown(eve, group)
    act(bob, "member.leave", group)
    act(alice, "group.update", group, rules={"joining": "invitation"})
    with pytest.raises(NotFound):
        shown(bob, group)


def test_what_is_no_group_is_not_shown_as_one(alice: Asker) -> None:
    alice.send("hi", to="bob")
    for conversation in (direct("alice", "bob"), alice.queue, new_id()):
        with pytest.raises(NotFound):
            alice.ask("group.get", conversation=conversation)
    for conversation in (direct("alice", "bob"), alice.queue):
        for name, fields in (("group.update", {"title": "x"}), ("group.delete", {}), ("member.leave", {})):
            with pytest.raises(Forbidden, match="no group"):
                act(alice, name, conversation, **fields)


# -- handing over and deleting --


def test_ownership_is_handed_over(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    listener = chat.connect("bob")
    act(alice, "group.transfer", group, user="bob")
    assert roles(alice, group) == {"alice": "admin", "bob": "owner"}
    assert [(event.by, event.user) for event in listener.of(GroupTransferred)] == [("alice", "bob")]
    with pytest.raises(Forbidden):
        act(alice, "group.transfer", group, user="alice")
    with pytest.raises(Unchanged):
        act(bob, "group.transfer", group, user="bob")
    with pytest.raises(NotFound, match="no such member"):
        act(bob, "group.transfer", group, user="eve")


def test_a_deleted_group_is_read_and_nothing_else(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol", rules={"joining": "open"})
    sent = bob.send("la", conversation=group)
    promoted(alice, group, "bob")
    act(alice, "invitation.send", group, user="eve")
    with pytest.raises(Forbidden):
        act(bob, "group.delete", group)
    listener = chat.connect("bob")
    act(alice, "group.delete", group)
    assert [event.by for event in listener.of(GroupDeleted)] == ["alice"]
    assert texts(bob, group) == ["la"]
    assert alice.ask("group.get", conversation=group).deleted
    at = {"seq": sent.seq}
    for name, fields in {
        "message.send": {"text": "x"},
        "message.edit": {"text": "x", **at},
        "message.delete": at,
        "message.pin": at,
        "announcement.post": {"text": "x"},
        "group.update": {"title": "x"},
        "group.delete": {},
        "member.add": {"users": ["dave"]},
        "member.leave": {},
        "member.remove": {"user": "carol"},
        "member.role": {"user": "carol", "role": "admin"},
        "invitation.send": {"user": "dave"},
    }.items():
        with pytest.raises(Forbidden, match="was deleted"):
            act(alice if name == "group.delete" else bob, name, group, **fields)
    for name, who in (("invitation.accept", "eve"), ("join.request", "dave")):
        with pytest.raises(NotFound):
            act(chat.http(who), name, group)
    with pytest.raises(NotFound):
        shown(chat.http("dave"), group)
    assert chat.http("eve").ask("invitation.list").invitations == []


# -- talking in it --


def test_messages_reach_every_member_and_nobody_else(chat: Chat, alice: Asker) -> None:
    group = found(alice, "bob", "carol")
    inside = [chat.connect(user, device) for user in ("alice", "bob", "carol") for device in "ab"]
    eve = chat.connect("eve")
    alice.send("la @carol", conversation=group, mentions=["carol"])
    assert [[event.text for event in one.of(MessageCreated)] for one in inside] == [["la @carol"]] * 6
    assert eve.got == []
    with pytest.raises(Invalid, match="not a member"):
        alice.send("la", conversation=group, mentions=["eve"])
    with pytest.raises(NotFound):
        eve.send("la", conversation=group)


def test_a_message_in_a_known_group_takes_the_plain_way(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    chat.log.asked.clear()
    for number in range(3):
        bob.send(str(number), conversation=group, mentions=["alice"])
    assert chat.log.asked == [1, 1, 1]


def test_admins_delete_what_others_say_and_members_only_what_they_said(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", "carol")
    carol = chat.http("carol")
    said = [who.send("x", conversation=group).seq for who in (alice, bob, carol)]
    with pytest.raises(Forbidden):
        act(carol, "message.delete", group, seq=said[1])
    with pytest.raises(NotFound):
        act(chat.http("eve"), "message.delete", group, seq=said[1])
    promoted(alice, group, "bob")
    for seq in said:
        act(bob, "message.delete", group, seq=seq, client_id=f"d{seq}")
    assert [message.deleted for message in carol.ask("history.get", conversation=group).messages] == [True] * 3
    first = act(bob, "message.delete", group, seq=said[0], client_id=f"d{said[0]}")
    act(alice, "member.remove", group, user="bob")
    assert act(bob, "message.delete", group, seq=said[0], client_id=f"d{said[0]}") == first
    with pytest.raises(NotFound):
        act(alice, "message.delete", group, seq=said[0])


def test_old_messages_are_deleted_by_admins_whatever_their_age(chat: Chat) -> None:
    strict = Chat(chat.database, delete_seconds=60)
    alice, bob = strict.http("alice"), strict.http("bob")
    group = found(alice, "bob")
    sent = bob.send("x", conversation=group)
    strict.now = sent.time.replace(year=2030)
    with pytest.raises(Forbidden, match="too old"):
        act(bob, "message.delete", group, seq=sent.seq)
    act(alice, "message.delete", group, seq=sent.seq)


def test_admins_pin_in_groups_unless_the_group_says_otherwise(alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob")
    seq = bob.send("x", conversation=group).seq
    with pytest.raises(Forbidden, match="takes the role admin to pin"):
        act(bob, "message.pin", group, seq=seq)
    act(alice, "message.pin", group, seq=seq)
    act(alice, "group.update", group, rules={"editing": "member"})
    act(bob, "message.unpin", group, seq=seq)


def test_a_list_of_conversations_says_what_groups_are_called_now(chat: Chat, alice: Asker, bob: Asker) -> None:
    group = found(alice, "bob", title="Choir", picture="https://example.com/choir.png")
    bob.send("hello", to="alice")
    act(alice, "group.update", group, title="Chamber choir")
    shown = [(one.kind, one.title, one.picture, one.member_count) for one in bob.ask("conversation.list").conversations]
    picture = "https://example.com/choir.png"
    assert sorted(shown) == [("direct", "", "", 2), ("group", "Chamber choir", picture, 2)]
    described = bob.ask("conversation.get", conversation=group)
    assert (described.title, described.picture, described.member_count) == ("Chamber choir", picture, 2)
    assert chat.http("alice").ask("conversation.get", conversation=direct("alice", "bob")).title == ""
